-- How do I run a feed only while somebody listens? `occupied` is called when a channel's first
-- subscriber comes, `vacated` when it has been empty for a while, also when the server stops. For
-- each channel they come in turn, and the next one waits until the one before has ended; so the
-- backend starts and stops every feed in order, and a page that is reloaded does neither.

local perigee = require "perigee"

local FEEDS = os.getenv "FEEDS_URL" or "http://127.0.0.1:9000/feeds"

local function tell(action)
  return function(channel)
    local answer, problem = perigee.http.request {
      method = "POST",
      url = FEEDS,
      headers = { ["content-type"] = "application/json" },
      body = perigee.json.encode { action = action, channel = channel },
    }
    if not answer or answer.status >= 300 then
      perigee.log.warn("the feed was not told", {
        action = action,
        channel = channel,
        problem = problem or ("HTTP " .. answer.status),
      })
    end
  end
end

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" } },
  channel = {
    vacated_event_delay = "1s", -- how long a feed outlives its last listener; 5 s unless given
    namespaces = {
      stock = {
        allow_subscribe_for_client = true,
        hooks = { occupied = tell "start", vacated = tell "stop" },
      },
    },
  },
}
