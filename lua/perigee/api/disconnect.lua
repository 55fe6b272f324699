-- Closes a user's connections, by default for good.

local core = require "perigee.core"

local FORCE_DISCONNECT = { code = 3503, reason = "force disconnect" }

return {
  params = {
    { "user", "string" },
    { "client", "string" },
    { "session", "string" },
    { "whitelist", "strings" },
    { "disconnect", { { "code", "uint32" }, { "reason", "string" } } },
  },
  result = {},
  run = function(user, client, session, whitelist, disconnect)
    local with = disconnect and disconnect.code > 0 and disconnect or FORCE_DISCONNECT
    return core.disconnect(user, client, session, with.code, with.reason, whitelist)
  end,
}
