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
    local options, err, message = checks.presence(channel)
    if not options then
      return nil, err, message
    end
    return core.presence(channel)
  end,
}
