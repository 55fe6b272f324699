-- Makes a user's tokens invalid that were issued (claim `iat`) before a time, by default now;
-- with a channel only the subscription tokens for it.

local core = require "perigee.core"
local errors = require "perigee.api.errors"

return {
  params = {
    { "user", "string" },
    { "issued_before", "int" },
    { "channel", "string" },
    { "expire_at", "int" },
  },
  result = {},
  run = function(user, issued_before, channel, expire_at)
    if user == "" or issued_before < 0 or expire_at < 0 or expire_at > 0 and expire_at <= core.now() then
      return nil, errors.bad_request
    end
    return core.revoke(user, "", channel, issued_before > 0 and issued_before or core.now(), expire_at)
  end,
}
