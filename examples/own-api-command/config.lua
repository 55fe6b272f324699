-- POST /api/kick {"channel": "room"} throws everybody in a channel out; POST /api/announce
-- {"text": "…"} publishes to every channel that somebody is subscribed to. Both answer like the
-- built-in commands and need the same key.

local perigee = require "perigee"

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" } },
  channel = {
    without_namespace = { allow_subscribe_for_client = true, presence = true },
  },
  api = {
    kick = function(params)
      local kicked = 0
      for _, member in pairs(perigee.presence(params.channel)) do
        perigee.disconnect { user = member.user }
        kicked = kicked + 1
      end
      return { kicked = kicked }
    end,
    announce = function(params)
      if type(params.text) ~= "string" then
        return perigee.error(107, "bad request")
      end
      local names = {}
      for name in pairs(perigee.channels({}).channels) do
        names[#names + 1] = name
      end
      if #names > 0 then
        perigee.broadcast { channels = names, data = { announcement = params.text } }
      end
      return { channels = #names }
    end,
  },
}
