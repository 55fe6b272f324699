-- Three ways to keep a channel to the users it is for:
--   $report:7        needs a subscription token from your backend (perigee gensubtoken makes one)
--   dialog:x#ann,bob is open to the users behind the #
--   inbox:ann        a rule in Lua: everybody has the one with his own name

local perigee = require "perigee"

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" } },
  channel = {
    namespaces = {
      report = {},
      dialog = { allow_user_limited_channels = true, allow_publish_for_subscriber = true },
      inbox = {
        hooks = {
          subscribe = function(client, req)
            if req.channel == "inbox:" .. client.user then
              return {}
            end
            return perigee.error(103, "permission denied")
          end,
        },
      },
    },
  },
}
