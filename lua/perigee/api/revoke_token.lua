-- Makes the token with this id (its claim `jti`) invalid; connections made with it are closed.

local core = require "perigee.core"
local errors = require "perigee.api.errors"

return {
  params = {
    { "uid", "string" },
    { "expire_at", "int" },
  },
  result = {},
  run = function(uid, expire_at)
    if uid == "" or expire_at < 0 or expire_at > 0 and expire_at <= core.now() then
      return nil, errors.bad_request
    end
    return core.revoke("", uid, "", 0, expire_at)
  end,
}
