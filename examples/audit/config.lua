-- How do I keep a record of what is said? A hook may call the server's own commands: this one
-- publishes a copy of every client's message into a channel with history, which only the backend
-- reads (POST /api/history {"channel": "audit:talk", "limit": -1}).

local perigee = require "perigee"

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" } },
  channel = {
    namespaces = {
      talk = {
        allow_subscribe_for_client = true,
        allow_publish_for_subscriber = true,
        hooks = {
          publish = function(_, req)
            local _, err = perigee.publish {
              channel = "audit:talk",
              data = { channel = req.channel, data = req.data },
            }
            if err then
              return perigee.error(100, "internal server error", true) -- no record, no message
            end
          end,
        },
      },
      audit = { history_size = 1000, history_ttl = "24h" },
    },
  },
}
