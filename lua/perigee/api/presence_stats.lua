-- How many clients and distinct users are in a channel.

local core = require "perigee.core"
local checks = require "perigee.api.checks"

return {
  params = {
    { "channel", "string" },
  },
  result = {
    { "num_clients", "uint!" },
    { "num_users", "uint!" },
  },
  run = function(channel)
    local options, err, message = checks.presence(channel)
    if not options then
      return nil, err, message
    end
    return core.presence_stats(channel)
  end,
}
