-- How do I greet a subscriber? What the subscribe hook returns as `data` comes with the reply to
-- the subscribe command (`ctx.data` of the SDK's "subscribed" event), for this client only; `info`
-- is what others see of him in presence, join and leave, and with his publications.

local perigee = require "perigee"

local TOPICS = { lobby = "Anything goes", help = "Ask, somebody will know" }

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" } },
  channel = {
    namespaces = {
      room = {
        presence = true,
        hooks = {
          subscribe = function(_, req)
            local room = req.channel:match "^room:(.+)$"
            local topic = room and TOPICS[room]
            if not topic then
              return perigee.error(404, "no such room")
            end
            local here = perigee.presence_stats { channel = req.channel }
            return {
              data = { welcome = topic, others = here and here.num_clients or 0 },
              info = { since = math.floor(perigee.now()) },
            }
          end,
        },
      },
    },
  },
}
