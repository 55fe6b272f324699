-- No tokens: the client sends a key with its connect command (`data: { key: "…" }` in the SDK's
-- options), and Lua looks up whose it is.

local perigee = require "perigee"

local USERS = {
  ["key-of-ann"] = { user = "ann", info = { name = "Ann" } },
  ["key-of-bob"] = { user = "bob", info = { name = "Bob" } },
}

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  channel = {
    without_namespace = {
      allow_subscribe_for_client = true,
      presence = true,
      allow_presence_for_subscriber = true,
    },
  },
  hooks = {
    connect = function(ctx)
      local key = type(ctx.data) == "table" and ctx.data.key
      local known = type(key) == "string" and USERS[key]
      if not known then
        return perigee.disconnect_code(4501, "unknown key") -- 4500 and above: do not come back
      end
      return { user = known.user, info = known.info, channels = { "news" } }
    end,
  },
}
