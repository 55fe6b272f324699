-- The channels that have subscribers, with how many; pattern is a glob, empty for all.

local core = require "perigee.core"

return {
  params = {
    { "pattern", "string" },
  },
  result = {
    { "channels", "raw!" },
  },
  run = core.channels,
}
