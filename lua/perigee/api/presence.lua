-- Who is in a channel: client id → client info.

local core = require "perigee.core"
local checks = require "perigee.api.checks"

return {
  params = {
    { "channel", "string" },
  },
  result = {
    { "presence", "raw!" },
  },
  run = function(channel)
    local options, err = checks.presence(channel)
    if not options then
      return nil, err
    end
    return core.presence(channel)
  end,
}
