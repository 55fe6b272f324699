-- How do I take the user from a reverse proxy that has already checked the session cookie? The
-- proxy sets X-User, and X-Proxy-Key so that nobody who reaches this port directly can do the same;
-- it must drop both headers where a client sends them.

local perigee = require "perigee"

local PROXY_KEY = os.getenv "PERIGEE_PROXY_KEY" or ""

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  channel = { without_namespace = { allow_subscribe_for_client = true } },
  hooks = {
    connect = function(ctx)
      local key, user = ctx.headers["x-proxy-key"], ctx.headers["x-user"]
      if PROXY_KEY == "" or not key or perigee.sha256(key) ~= perigee.sha256(PROXY_KEY) then
        return perigee.disconnect_code(4500, "not by the proxy")
      end
      if not user or user == "" then
        return perigee.disconnect_code(4501, "not logged in")
      end
      return { user = user, meta = { ip = ctx.headers["x-forwarded-for"] } }
    end,
  },
}
