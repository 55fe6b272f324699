-- Chat rooms: chat:room1, chat:room2, … Whoever is in a room may write, sees who else is there,
-- and gets what was said while his connection was lost.

local perigee = require "perigee"

local TEXT_MAX = 500

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = {
    allowed_origins = { "http://localhost:*" },
    token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" },
  },
  channel = {
    namespaces = {
      chat = {
        presence = true,
        join_leave = true,
        force_push_join_leave = true,
        allow_presence_for_subscriber = true,
        history_size = 100,
        history_ttl = "10m",
        force_recovery = true,
        allow_history_for_subscriber = true,
        allow_publish_for_subscriber = true,
        hooks = {
          subscribe = function(_, req)
            if not req.channel:match "^chat:room%d+$" then
              return perigee.error(103, "permission denied")
            end
            return {} -- a table allows
          end,
          publish = function(_, req)
            local text = type(req.data) == "table" and req.data.text
            if type(text) ~= "string" or #text > TEXT_MAX then
              return perigee.error(107, "bad request")
            end
            -- nil: the options decide, and the data goes out as it came
          end,
        },
      },
    },
  },
}
