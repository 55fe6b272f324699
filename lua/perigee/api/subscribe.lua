-- Subscribes a user's connections to a channel, from the server's side. Who is not connected is
-- no error: the answer does not say how many connections matched.

local core = require "perigee.core"
local checks = require "perigee.api.checks"

return {
  params = {
    { "channel", "string" },
    { "user", "string" },
    { "expire_at", "int" },
    { "info", "raw" },
    { "b64info", "base64" },
    { "client", "string" },
    { "session", "string" },
    { "data", "raw" },
    { "b64data", "base64" },
    { "recover_since", { { "offset", "uint" }, { "epoch", "string" } } },
    { "override", "object" },
  },
  result = {},
  run = function(channel, user, expire_at, info, b64info, client, session, data, b64data, since, override)
    local options, err, message = checks.channel(channel)
    if not options then
      return nil, err, message
    end
    info, err = checks.bytes(info, b64info)
    if err then
      return nil, err
    end
    data, err = checks.bytes(data, b64data)
    if err then
      return nil, err
    end
    return core.subscribe(user, client, session, channel, expire_at, info, data, since, override)
  end,
}
