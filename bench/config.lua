-- The server's configuration in every measurement. The namespace of a channel says what is switched
-- on for it; channels without a namespace have the defaults. From the environment: BENCH_PORT,
-- BENCH_API_KEY, BENCH_SECRET, BENCH_WORKERS, BENCH_HOOKS (no: not one hook is set anywhere),
-- BENCH_BACKEND (a URL that allows whatever it is asked), BENCH_PING (client.ping_interval).
local perigee = require "perigee"

local function env(name, default)
  return os.getenv("BENCH_" .. name) or default
end

local function with_history(options)
  local all = { history_size = 100, history_ttl = "10m" }
  for key, value in pairs(options or {}) do
    all[key] = value
  end
  return all
end

local ping = tonumber(env("PING", "25"))
local hooks = env("HOOKS", "yes") == "yes"
local backend = env("BACKEND", "http://127.0.0.1:1/")
local counters

--- What a publish hook may do: nothing; count in the memory all workers share; rewrite the data.
local publish = {}

function publish.empty(_, _) end

function publish.dict(client, _)
  counters = counters or perigee.dict "bench"
  counters:incr(client.user)
end

function publish.json(_, req)
  return { data = req.data }
end

--- Whether a client may subscribe, decided here, and the same decision asked over HTTP.
local subscribe = {}

function subscribe.lua(client, req)
  if client.user == "" or not req.channel:find "^asks_lua:" then
    return perigee.error(103, "permission denied")
  end
  return {}
end

function subscribe.http(client, req)
  local answer = perigee.http.request {
    method = "POST",
    url = backend,
    headers = { ["Content-Type"] = "application/json" },
    body = perigee.json.encode { user = client.user, channel = req.channel },
  }
  local verdict = answer and answer.status == 200 and perigee.json.decode(answer.body)
  if not verdict or verdict.error then
    return perigee.error(103, "permission denied")
  end
  return {}
end

local function hooked(name, fn)
  return hooks and { [name] = fn } or nil
end

local namespaces = {
  history = with_history {},
  recover = with_history { force_recovery = true, force_positioning = true },
  presence = { presence = true, join_leave = true },
  joinleave = { presence = true, join_leave = true, force_push_join_leave = true },
  delta = with_history {
    force_positioning = true, allowed_delta_types = { "fossil" }, delta_publish = true,
  },
  hookless = { allow_publish_for_client = true },
  empty = { allow_publish_for_client = true, hooks = hooked("publish", publish.empty) },
  dict = { allow_publish_for_client = true, hooks = hooked("publish", publish.dict) },
  json = { allow_publish_for_client = true, hooks = hooked("publish", publish.json) },
  asks_lua = { hooks = hooked("subscribe", subscribe.lua) },
  asks_http = { hooks = hooked("subscribe", subscribe.http) },
}
for _, options in pairs(namespaces) do
  options.allow_subscribe_for_client = not (options.hooks and options.hooks.subscribe)
end

local unlimited = { buckets = {} }

return {
  http_server = { address = "127.0.0.1", port = tonumber(env "PORT") },
  workers = tonumber(env("WORKERS", "1")),
  http_api = { key = env "API_KEY" },
  health = { enabled = true },
  websocket = { compression = true },
  client = {
    ping_interval = ping,
    presence_update_interval = "10m", -- its tick would be counted with the pings
    pong_timeout = math.min(8, ping * 0.95),
    token = { hmac_secret_key = env "SECRET" },
    rate_limit = { client_command = { publish = unlimited, total = unlimited } },
  },
  channel = {
    without_namespace = { allow_subscribe_for_client = true },
    namespaces = namespaces,
  },
}
