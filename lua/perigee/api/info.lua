-- The nodes and what they carry.

local core = require "perigee.core"

return {
  params = {},
  result = {
    { "nodes", "raw" },
  },
  run = core.info,
}
