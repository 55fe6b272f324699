-- Ends a user's subscriptions to a channel (code 2000, server unsubscribe).

local core = require "perigee.core"
local errors = require "perigee.api.errors"

return {
  params = {
    { "channel", "string" },
    { "user", "string" },
    { "client", "string" },
    { "session", "string" },
  },
  result = {},
  run = function(channel, user, client, session)
    if channel ~= "" and not core.has_namespace(channel) then
      return nil, errors.unknown_channel
    end
    return core.unsubscribe(user, client, session, channel)
  end,
}
