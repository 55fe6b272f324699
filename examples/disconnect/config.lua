-- How do I throw a client out, and say whether it may come back? Any hook may return a disconnect.
-- SDKs reconnect after codes 3000–3499 and 4000–4499, and stay away after 3500–3999 and 4500–4999.

local perigee = require "perigee"

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" } },
  channel = {
    namespaces = {
      open = {
        allow_subscribe_for_client = true,
        allow_publish_for_subscriber = true,
        hooks = {
          publish = function(_, req)
            if #req.raw > 1000 then
              return perigee.disconnect_code(4500, "too much at once") -- for good
            end
          end,
        },
      },
    },
  },
  hooks = {
    connect = function(ctx)
      -- ctx.user: what a valid token said. No return value: connect goes on as without a hook.
      if ctx.user == "mallory" then
        return perigee.disconnect_code(4501, "banned")
      end
    end,
  },
  rpc = {
    -- The client asks to begin anew: it is closed and comes back.
    restart = function()
      return perigee.disconnect_code(4000, "come again")
    end,
  },
}
