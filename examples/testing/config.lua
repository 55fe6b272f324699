-- Rooms with bouncers: what rules_test.lua beside this file tests.
--
--   perigee test examples/testing/rules_test.lua -c examples/testing/config.lua

local perigee = require "perigee"
local rules = require "rules" -- rules.lua beside this file

local BACKEND = "http://127.0.0.1:9000"

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = {
    allowed_origins = { "http://localhost:*" },
    token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" },
  },
  channel = { namespaces = { room = {
    presence = true, allow_presence_for_subscriber = true,
    join_leave = true, force_push_join_leave = true,
    history_size = 20, history_ttl = "10m", force_recovery = true, allow_history_for_subscriber = true,
    allow_publish_for_subscriber = true,
    hooks = {
      -- The backend says who may enter; whoever was let in stays for ten minutes.
      subscribe = function(client, req)
        local answer, problem = perigee.http.get(BACKEND .. "/may/" .. client.user .. "/" .. req.channel)
        if not answer then
          perigee.log.error("the backend does not answer", { problem = problem })
          return perigee.error(100, "try again", true)
        elseif answer.status ~= 200 then
          return perigee.error(103, "permission denied")
        end
        return { expire_at = math.floor(perigee.now()) + 600 }
      end,
      publish = function(client, req)
        if not rules.contains(client.channels, req.channel) then
          return nil -- a table would allow it; so the options decide, and refuse
        elseif not rules.is_polite(req.data.text) then
          return perigee.error(400, "be polite")
        end
        return { data = { text = rules.shorten(req.data.text, 100) } }
      end,
    },
  } } },
  rpc = {
    -- Reminds the client after some seconds.
    remind = function(client, data)
      perigee.after(data.seconds, function()
        client:send { reminder = data.text }
      end)
    end,
  },
  api = {
    count = function(params)
      local n = 0
      for _ in pairs(perigee.presence(params.channel)) do
        n = n + 1
      end
      return { members = n }
    end,
  },
}
