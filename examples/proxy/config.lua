-- How do I keep a backend that was written for Centrifugo's event proxies? Name its endpoint where a
-- hook stands. The RPC proxy shows that a hook is still a function: frequent answers are kept.

local perigee = require "perigee"

local backend = os.getenv "BACKEND_URL" or "http://127.0.0.1:3000/centrifugo"

local ask = perigee.proxy.rpc { endpoint = backend .. "/rpc", http_headers = { "Cookie" } }
local kept, kept_until = nil, 0 -- per worker

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  hooks = {
    connect = perigee.proxy.connect {
      endpoint = backend .. "/connect",
      timeout = "3s",
      http_headers = { "Cookie", "Authorization" },
      http = {
        static_headers = { ["X-Backend-Key"] = os.getenv "PERIGEE_PROXY_KEY" },
        status_to_code_transforms = {
          { status_code = 403, to_disconnect = { code = 4503, reason = "forbidden" } },
          { status_code = 503, to_error = { code = 1503, message = "try again", temporary = true } },
        },
      },
    },
    refresh = perigee.proxy.refresh(backend .. "/refresh"),
    rpc = function(client, req)
      if req.method ~= "prices" then
        return ask(client, req)
      end
      if perigee.now() >= kept_until then
        kept, kept_until = ask(client, req), perigee.now() + 1
      end
      return kept
    end,
  },
  channel = { namespaces = { chat = { presence = true, hooks = {
    subscribe = perigee.proxy.subscribe(backend .. "/subscribe"),
    publish = perigee.proxy.publish(backend .. "/publish"),
  } } } },
}
