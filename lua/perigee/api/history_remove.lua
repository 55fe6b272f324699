-- Drops a channel's publications; its offset and epoch stay.

local core = require "perigee.core"
local checks = require "perigee.api.checks"

return {
  params = {
    { "channel", "string" },
  },
  result = {},
  run = function(channel)
    local options, err, message = checks.history(channel)
    if not options then
      return nil, err, message
    end
    return core.history_remove(channel)
  end,
}
