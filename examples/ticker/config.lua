-- How do I publish without a backend? A timer in config.lua: perigee.every runs on one worker
-- only, so every tick is published once. Whoever subscribes gets the last one at once, by recovery
-- from the very beginning (`since: { offset: 0, epoch: "" }` in the SDK's options).

local perigee = require "perigee"

local SECONDS = 1
local count = 0

perigee.every(SECONDS, function()
  count = count + 1
  local _, err = perigee.publish { channel = "clock:ticks", data = { tick = count, now = perigee.now() } }
  if err then
    perigee.log.warn("no tick", { code = err.code, message = err.message })
  end
end)

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { allow_anonymous_connect_without_token = true },
  channel = {
    namespaces = {
      clock = {
        allow_subscribe_for_client = true,
        allow_subscribe_for_anonymous = true,
        history_size = 1,
        history_ttl = "1m",
        allow_recovery = true,
      },
    },
  },
}
