-- How do I learn that somebody has left? The unsubscribe and disconnect hooks are called after the
-- fact, once for each subscription and session, the subscriptions first. This one tells a channel
-- that your backend (or an admin's page) watches.

local perigee = require "perigee"

local function tell(event)
  local _, err = perigee.publish { channel = "staff:sessions", data = event }
  if err then
    perigee.log.warn("an event was not published", { code = err.code })
  end
end

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" } },
  channel = {
    namespaces = {
      room = { allow_subscribe_for_client = true },
      staff = {
        history_size = 1000,
        history_ttl = "1h",
        hooks = {
          subscribe = function(client)
            local info = client.info -- from the token: { role = "staff" }
            if type(info) == "table" and info.role == "staff" then
              return {}
            end
          end,
        },
      },
    },
  },
  hooks = {
    unsubscribe = function(client, req)
      if not req.channel:match "^staff:" then
        tell { event = "unsubscribe", user = client.user, channel = req.channel, code = req.code }
      end
    end,
    disconnect = function(client, reason)
      tell { event = "disconnect", user = client.user, code = reason.code, reason = reason.reason }
    end,
  },
}
