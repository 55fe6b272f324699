-- How do I answer questions of clients? Functions under `rpc`, by the name of the method:
-- `await client.rpc("time", {})` in the SDK. `hooks.rpc` gets every method that has no function.

local perigee = require "perigee"

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" } },
  rpc = {
    time = function()
      return { now = perigee.now() }
    end,
    -- The client asks for the last few publications of a channel that it cannot subscribe to.
    headlines = function(_, data)
      local limit = type(data) == "table" and math.type(data.limit) == "integer" and data.limit or 3
      local page, err = perigee.history { channel = "news:front", limit = math.min(limit, 10), reverse = true }
      if not page then
        return nil, err -- { code =, message = } of a server call is an error for the client, too
      end
      local titles = {}
      for i, publication in ipairs(page.publications) do
        titles[i] = publication.data.title
      end
      return { titles = titles }
    end,
  },
  hooks = {
    rpc = function(_, req)
      return perigee.error(404, "there is no method " .. req.method)
    end,
  },
  channel = { namespaces = { news = { history_size = 50, history_ttl = "1h" } } },
}
