-- Gives a user's connections a new expiry (0: none), or lets them expire now.

local core = require "perigee.core"

return {
  params = {
    { "user", "string" },
    { "client", "string" },
    { "session", "string" },
    { "expired", "bool" },
    { "expire_at", "int" },
    { "info", "raw" },
  },
  result = {},
  run = core.refresh,
}
