-- How do I let clients in without JWT? The backend signs "user:expiry" with a key that both know
-- (HMAC-SHA256, in hex), the client sends the three parts in the data of its connect command, and
-- the connect hook checks them.
--
--   data: { user: "ann", expire_at: 1767225600, signature: "…" }

local perigee = require "perigee"

local KEY = os.getenv "PERIGEE_TICKET_KEY" or ""

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  channel = { without_namespace = { allow_subscribe_for_client = true } },
  hooks = {
    connect = function(ctx)
      local ticket = type(ctx.data) == "table" and ctx.data or {}
      local user, expire_at, signature = ticket.user, ticket.expire_at, ticket.signature
      if type(user) ~= "string" or math.type(expire_at) ~= "integer" or type(signature) ~= "string" or KEY == "" then
        return perigee.disconnect_code(4500, "no ticket")
      end
      -- Both sides go through HMAC once more, so that the time of the comparison says nothing.
      local expected = perigee.hmac(KEY, user .. ":" .. expire_at)
      if perigee.hmac(KEY, expected) ~= perigee.hmac(KEY, signature) then
        return perigee.disconnect_code(4500, "bad ticket")
      end
      if expire_at <= perigee.now() then
        return perigee.error(109, "token expired") -- SDKs ask their getData or getToken again
      end
      return { user = user, expire_at = expire_at, data = { hello = user } }
    end,
  },
}
