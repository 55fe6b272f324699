-- The one truth about configuration: every option with its type, default, bounds and meaning.
-- From it come the checks of config.lua, the C struct (scripts/gen_settings.lua), the page
-- docs/configuration.md and the LuaLS types. The order here is the order of the page.
--
-- Types: bool, int, string, secret (a string that is never shown), duration (seconds or "10m";
-- milliseconds in C), size (bytes or "64M"), enum, list (of strings), map (string to string),
-- buckets (rate limit), pem, hooks, functions. A `later` option is a reserved name: setting it to
-- anything but its default is an error, never a silent no-op.

---@class perigee.Option
---@field path string    dotted path; for channel options the name inside a namespace
---@field type string
---@field default any    nil only for hooks and functions
---@field doc string     one line
---@field min number?    in the unit the user writes (seconds for durations)
---@field max number?
---@field values string[]?          enum: its words, in the order of the C constants
---@field aliases table<string, string>?  enum: other spellings
---@field words table<string, integer>?   int: words that stand for a number
---@field key "rsa"|"ecdsa"|nil     pem: must hold a public key of this family
---@field single boolean?           list: a single string will do
---@field later boolean?            reserved, not built yet

---@class perigee.Section
---@field title string
---@field intro string?
---@field options perigee.Option[]

local M = {
  ---@type perigee.Section[]
  sections = {},
  ---@type perigee.Section[] the options of one namespace
  channel_sections = {},
  ---@type perigee.Option[] all server options, in order
  options = {},
  ---@type perigee.Option[] all channel options, in order
  channel_options = {},
}

local sections, options = M.sections, M.options
local current

local function section(title, intro)
  current = { title = title, intro = intro, options = {} }
  sections[#sections + 1] = current
end

local function option(path, type, default, doc, extra)
  local row = { path = path, type = type, default = default, doc = doc }
  for name, value in pairs(extra or {}) do
    row[name] = value
  end
  options[#options + 1] = row
  current.options[#current.options + 1] = row
end

local LATER = { later = true }
local NO_LIMIT = { min = -1 } -- -1 switches the limit off

section("HTTP server")
option("http_server.address", "string", "", "Address of the listener; empty: every interface.")
option("http_server.port", "int", 8000, "Port of the listener; 0 takes a free one.",
  { min = 0, max = 65535 })
option("http_server.internal_address", "string", "",
  "Address of a second listener for API, metrics and health; empty: `http_server.address`.", LATER)
option("http_server.internal_port", "int", 0,
  "Port of that second listener; 0: everything shares one port.", { min = 0, max = 65535, later = true })
option("http_server.tls.enabled", "bool", false, "Serve TLS (at least 1.2).", LATER)
option("http_server.tls.cert_pem", "pem", "", "Certificate chain: PEM text or the path of a file.", LATER)
option("http_server.tls.key_pem", "pem", "", "Private key: PEM text or the path of a file.", LATER)
option("workers", "int", 0, "Worker threads, each with its own event loop; `\"auto\"`: one per core.",
  { min = 1, max = 64, words = { auto = 0 } })

section("Process, log and node")
option("log.level", "enum", "info", "The least important line that is written; `none` silences.",
  { values = { "trace", "debug", "info", "warn", "error", "none" }, aliases = { fatal = "error" } })
option("log.format", "enum", "auto", "`auto`: text on a terminal, JSON lines otherwise.",
  { values = { "auto", "text", "json" } })
option("log.file", "string", "", "Append to this file instead of writing to stderr.")
option("node.name", "string", "", "Name of this node in `info`; empty: host name and port.")
option("shutdown.timeout", "duration", "30s", "How long a graceful shutdown may take.")
option("pid_file", "string", "", "Written at start, removed at exit.")

section("Configuration source",
  "Options may also be kept in etcd or Consul; they are stronger than the file and weaker than the "
    .. "environment. The key below the prefix is the option's path with slashes "
    .. "(`perigee/channel/namespaces/chat/presence`), the value text as in an environment variable, or JSON. "
    .. "A change reloads. These options themselves cannot stand there.")
option("config_source.type", "enum", "none", "Where else options are kept.",
  { values = { "none", "etcd", "consul" } })
option("config_source.endpoint", "string", "", "Its URL, such as `http://127.0.0.1:2379` or `http://127.0.0.1:8500`.")
option("config_source.prefix", "string", "perigee", "Keys that are read: this one and all below it.")
option("config_source.user", "string", "", "etcd: user name.")
option("config_source.password", "secret", "", "etcd: password.")
option("config_source.token", "secret", "", "Consul: ACL token.")
option("config_source.timeout", "duration", "5s", "How long one request may take.", { min = 0.1, max = 60 })

section("Clients")
option("client.allowed_origins", "list", {},
  "Origins that browsers may connect from; patterns with `*`, `?`, `[…]`, `{a,b}` in lower case, "
    .. "`\"*\"` for any. A request without an `Origin` header is always allowed.")
option("client.ping_interval", "duration", "25s",
  "How often a client is pinged; must exceed `client.pong_timeout`; 0 with a `pong_timeout` of 0: never.")
option("client.pong_timeout", "duration", "8s", "A client that does not answer a ping in time is closed (3012).")
option("client.stale_close_delay", "duration", "10s", "Time for the connect command (3502).")
option("client.expired_close_delay", "duration", "25s", "Grace after a connection's expiry (3005).")
option("client.expired_sub_close_delay", "duration", "25s", "Grace after a subscription's expiry (2501).")
option("client.channel_limit", "int", 128, "Channels of one connection; -1: no limit.", NO_LIMIT)
option("client.queue_max_size", "size", 1048576,
  "Bytes that may wait for one slow connection before it is closed (3008).", { min = 1024 })
option("client.presence_update_interval", "duration", "27s",
  "How often presence is renewed and subscriptions are looked at.", { min = 0.1 })
option("client.concurrency", "int", 0,
  "Commands of one connection that may wait for hooks and channels at once; 0 and 1: in order.",
  { min = 0, max = 1000 })
option("client.channel_position_check_delay", "duration", "40s",
  "Age at which a subscription's position is compared with the stream's top.", { min = 0.1 })
option("client.channel_position_max_time_lag", "duration", 0,
  "A publication that was longer on its way than this is taken for a gap in positioned channels; "
    .. "0: not looked at.", { max = 86400 })
option("client.connection_limit", "int", 0, "Connections per node (HTTP 503); 0: no limit.",
  { min = 0 })
option("client.user_connection_limit", "int", 0, "Connections of one user per node (3504); 0: no limit.",
  { min = 0 })
option("client.connection_rate_limit", "int", 0, "New connections per second and node (HTTP 503); 0: no limit.",
  { min = 0, max = 1000000 })
option("client.connect_include_server_time", "bool", false,
  "Put `time` (Unix milliseconds) into the connect reply.")
option("client.history_max_publication_limit", "int", 300,
  "Publications one history call of a client may return; -1: no limit.", NO_LIMIT)
option("client.recovery_max_publication_limit", "int", 300,
  "Publications that may be recovered at once; -1: no limit.", NO_LIMIT)
option("client.user_id_http_header", "string", "",
  "Header of a trusted reverse proxy that holds the user id, as UTF-8, of a client without a token.")
option("client.allow_anonymous_connect_without_token", "bool", false,
  "Whoever brings no token is connected as the anonymous user.")
option("client.disallow_anonymous_connection_tokens", "bool", false, "Refuse tokens without a user (3507).")
option("client.insecure", "bool", false,
  "Nobody needs a token and everything but private channels is allowed; for development only.")
option("client.insecure_skip_token_signature_verify", "bool", false,
  "Believe tokens without looking at their signature; for development only.")
option("client.subscribe_to_user_personal_channel.enabled", "bool", false,
  "Subscribe every user to a channel of his own: `#` and the user id, behind the namespace below.")
option("client.subscribe_to_user_personal_channel.personal_channel_namespace", "string", "",
  "Namespace of the personal channels.")
option("client.subscribe_to_user_personal_channel.single_connection", "bool", false,
  "A new connection of a user closes his others; needs presence in that namespace.")

local function token_options(prefix, of)
  option(prefix .. ".hmac_secret_key", "secret", "", "Key of HS256, HS384 and HS512 " .. of .. ".")
  option(prefix .. ".hmac_previous_secret_key", "secret", "",
    "Tried when the key above does not fit, so that keys can be changed.")
  option(prefix .. ".hmac_previous_secret_key_valid_until", "int", 0,
    "Unix time (seconds) after which the previous key is refused; 0: never.", { min = 0 })
  option(prefix .. ".rsa_public_key", "pem", "", "PEM for RS256, RS384 and RS512 " .. of .. ".", { key = "rsa" })
  option(prefix .. ".ecdsa_public_key", "pem", "", "PEM for ES256, ES384 or ES512 " .. of .. ".", { key = "ecdsa" })
  option(prefix .. ".jwks_public_endpoint", "string", "", "URL of a JWKS; the keys above are ignored then. "
    .. "`{{name}}` stands for a named group of `issuer_regex` or `audience_regex`: `(?P<name>red|blue)`.")
  option(prefix .. ".insecure_skip_jwks_endpoint_safety_check", "bool", false,
    "Take an endpoint with placeholders although claims that nobody has verified may choose what is fetched.")
  option(prefix .. ".audience", "string", "", "Must be among the claim `aud`.")
  option(prefix .. ".audience_regex", "string", "", "Regular expression that one of the claim `aud` must match; write `^…$` for the whole of it.")
  option(prefix .. ".issuer", "string", "", "Must equal the claim `iss`.")
  option(prefix .. ".issuer_regex", "string", "", "Regular expression that the claim `iss` must match; write `^…$` for the whole of it.")
  option(prefix .. ".user_id_claim", "string", "", "Claim that holds the user id instead of `sub`.")
end

section("Tokens", "Who a client is. See also `client.allow_anonymous_connect_without_token`.")
token_options("client.token", "connection tokens")
option("client.subscription_token.enabled", "bool", false,
  "Subscription tokens use the keys below and nothing of `client.token`.")
token_options("client.subscription_token", "subscription tokens")

section("Rate limits",
  "`buckets` is a list such as `{ { interval = \"1s\", rate = 60 } }`: at most `rate` commands per "
    .. "`interval`, in every bucket of the list. Over it: error 111 (too many requests). An empty list: no "
    .. "limit. Limits of a user count over all his connections on this node; anonymous users have none.")
local COMMANDS = {
  { "subscribe", 1000 }, { "unsubscribe", 1000 }, { "publish", 1000 },
  { "presence", 100 }, { "presence_stats", 100 }, { "history", 100 }, { "rpc", 200 },
  { "send", 200 }, { "refresh", 10 }, { "sub_refresh", 1000 }, { "total", 2000 },
}
option("client.rate_limit.client_command.connect.buckets", "buckets", { { interval = "1s", rate = 10000 } },
  "`connect` commands of one user, since a connection has only one.")
for _, command in ipairs(COMMANDS) do
  local name, rate = command[1], command[2]
  option("client.rate_limit.client_command." .. name .. ".buckets", "buckets",
    { { interval = "1s", rate = rate } },
    name == "total" and "All commands of one connection together."
      or "`" .. name .. "` commands of one connection.")
end
for _, command in ipairs(COMMANDS) do
  local name = command[1]
  option("client.rate_limit.user_command." .. name .. ".buckets", "buckets", {},
    name == "total" and "All commands of one user together." or "`" .. name .. "` commands of one user.")
end
option("client.rate_limit.client_error.total.buckets", "buckets", {},
  "Errors that one connection is answered, 111 included; over it: disconnect 3509 (too many errors).")

section("WebSocket")
option("websocket.disabled", "bool", false, "Do not serve WebSocket.")
option("websocket.handler_prefix", "string", "/connection/websocket", "Its path.")
option("websocket.message_size_limit", "size", 65536, "Largest message from a client (1009).",
  { min = 128, max = 1073741824 })
option("websocket.write_timeout", "duration", "1s",
  "How long nothing may get out to a client before it is closed (3009).", { min = 0.05, max = 3600 })
option("websocket.compression", "bool", false, "permessage-deflate for clients that offer it.")
option("websocket.compression_level", "int", 1, "1 (fast) to 9 (small).", { min = 1, max = 9 })
option("websocket.compression_min_size", "size", 0, "Messages that are not longer are sent as they are.")
option("websocket.decompressed_message_size_limit", "size", 0,
  "Largest message from a client after inflating (1009); 0: ten times `message_size_limit`.",
  { max = 1073741824 })

local function body_options(name)
  option(name .. ".max_request_body_size", "size", 65536, "Largest request body (413).", LATER)
end

local function transport(name, title)
  section(title)
  option(name .. ".enabled", "bool", false, "Serve it.", LATER)
  option(name .. ".handler_prefix", "string", "/connection/" .. name, "Its path.", LATER)
end

transport("sse", "SSE (bidirectional, with emulation)")
body_options("sse")
transport("http_stream", "HTTP streaming (bidirectional, with emulation)")
body_options("http_stream")
section("Emulation", "Where clients of SSE and HTTP streaming send their commands.")
option("emulation.handler_prefix", "string", "/emulation", "Its path.", LATER)
body_options("emulation")
transport("sockjs", "SockJS")
transport("uni_websocket", "Unidirectional WebSocket")
option("uni_websocket.message_size_limit", "size", 65536, "Largest message from a client (1009).", LATER)
transport("uni_sse", "Unidirectional SSE")
body_options("uni_sse")
transport("uni_http_stream", "Unidirectional HTTP streaming")
body_options("uni_http_stream")

section("Server API")
option("http_api.disabled", "bool", false, "Do not serve the HTTP API.")
option("http_api.handler_prefix", "string", "/api", "Its path; commands are below it.")
option("http_api.key", "secret", "", "What `X-API-Key` must hold; while it is empty every request is refused (401).")
option("http_api.error_mode", "enum", "", "`transport`: errors also set the HTTP status.",
  { values = { "", "transport" } })
option("http_api.insecure", "bool", false, "Do not ask for the key; for development only.")
option("http_api.external", "bool", false, "Serve it on the external port too when there are two.", LATER)
option("http_api.max_request_body_size", "size", 67108864, "Largest request body (413).",
  { min = 1024, max = 2147483647 })
option("legacy_api.enabled", "bool", false, "The signed API of 2015.", LATER)
option("legacy_api.project", "string", "", "Its project name.", LATER)
option("legacy_api.secret", "secret", "", "Its secret.", LATER)

section("Health, metrics, web interface")
option("health.enabled", "bool", false, "Serve the health check.")
option("health.handler_prefix", "string", "/health", "Its path.")
option("prometheus.enabled", "bool", false, "Serve metrics as Prometheus text.")
option("prometheus.handler_prefix", "string", "/metrics", "Their path.")
option("admin.enabled", "bool", false, "Serve the web interface.", LATER)
option("admin.handler_prefix", "string", "", "Its path.", LATER)
option("admin.password", "secret", "", "Its password.", LATER)
option("admin.secret", "secret", "", "Signs its sessions.", LATER)
option("admin.insecure", "bool", false, "Nobody needs the password; for development only.", LATER)

section("Engine")
option("engine.type", "enum", "memory", "Where history and presence live, and what joins several nodes.",
  { values = { "memory", "redis" }, later = true })
option("engine.redis.address", "list", { "redis://127.0.0.1:6379" },
  "host:port, path of a unix socket, or redis:// or rediss:// URL; several: consistent sharding.",
  { single = true, later = true })
option("engine.redis.user", "string", "", "ACL user.", LATER)
option("engine.redis.password", "secret", "", "Password.", LATER)
option("engine.redis.db", "int", 0, "Database number.", { min = 0, later = true })
option("engine.redis.prefix", "string", "centrifugo", "Begins every key and channel.", LATER)
option("engine.redis.client_name", "string", "", "Shown by CLIENT LIST.", LATER)
option("engine.redis.connect_timeout", "duration", "1s", "Time to connect.", LATER)
option("engine.redis.io_timeout", "duration", "4s", "Time for an answer.", LATER)
option("engine.redis.presence_ttl", "duration", "60s", "Presence that nobody renews ends then.", LATER)
option("engine.redis.cluster_address", "list", {}, "Seed nodes of a cluster.", { single = true, later = true })
option("engine.redis.sentinel_address", "list", {}, "Sentinels.", { single = true, later = true })
option("engine.redis.sentinel_master_name", "string", "", "Name that Sentinel knows the primary by.", LATER)
option("engine.redis.sentinel_user", "string", "", "ACL user at the sentinels.", LATER)
option("engine.redis.sentinel_password", "secret", "", "Password at the sentinels.", LATER)
option("engine.redis.sharded_pub_sub_partitions", "int", 0, "Partitions of sharded PUB/SUB; 0: off.",
  { min = 0, later = true })
option("engine.redis.history_fence", "enum", "run_id",
  "`run_id`: a failover starts a new epoch, so that no gap goes unseen.",
  { values = { "run_id", "off" }, later = true })

section("Channels")
option("channel.max_length", "int", 255, "Bytes of a channel name that a client subscribes to.",
  { min = 1, max = 65535 })
option("channel.private_prefix", "string", "$",
  "A channel that starts with it needs a subscription token; empty: no such channels.")
option("channel.namespace_boundary", "string", ":", "Ends the namespace in a channel name; empty: no namespaces.")
option("channel.user_boundary", "string", "#", "Starts the list of users in a channel name; empty: no such lists.")
option("channel.user_separator", "string", ",", "Separates the users in that list; empty: one user only.")
option("channel.history_meta_ttl", "duration", "720h",
  "Default of the channel option of the same name.", { min = 1 })
option("channel.publication_data_format", "enum", "", "Default of the channel option of the same name.",
  { values = { "", "json", "json_object", "binary" } })
option("channel.options_cache_size", "int", 10000,
  "Channels whose result of the hook `channel_options` each worker remembers; the least recently used are forgotten.",
  { min = 1, max = 10000000 })
option("channel.options_cache_ttl", "duration", 0, "How long it is remembered; 0: until the next reload.")
option("channel.vacated_event_delay", "duration", "5s",
  "How long a channel must stay empty before the hook `vacated` hears of it; who comes back meanwhile is told to no hook.")

section("Lua")
option("lua.path", "list", {},
  "Folders (relative to config.lua) that `require` looks into; a file `perigee/rules.lua` there replaces the "
    .. "built-in module.", { single = true })
option("lua.timeout", "duration", 0.05, "Longest run time of a hook between two waits.", { min = 0.001, max = 3600 })
option("lua.memory_limit", "size", "64M", "Memory of one worker's Lua state.", { min = 4194304 })
option("lua.dict_memory_limit", "size", "64M",
  "Memory of all `perigee.dict` stores of the process together; a full one refuses new keys.", { min = 65536 })

section("Functions", "See hooks.md.")
option("hooks", "hooks", nil, "Functions called for every connection and every channel.")
option("rpc", "functions", nil, "RPC methods by name: `function(client, data)` returns the result.")
option("api", "functions", nil, "Additional API commands by name: `function(params)` returns the result.")

-- ---------------------------------------------------------------------------------------------
-- Channel options: the same set for channel.without_namespace and channel.namespaces.<name>.

sections, options = M.channel_sections, M.channel_options

section("Presence, join and leave")
option("presence", "bool", false, "Keep the list of subscribers.")
option("join_leave", "bool", false, "Generate join and leave events.")
option("force_push_join_leave", "bool", false, "Send them to every subscriber, asked for or not; needs `join_leave`.")

section("History and recovery")
option("history_size", "int", 0, "Publications kept; 0: none. Goes together with `history_ttl`.",
  { min = 0, max = 1000000 })
option("history_ttl", "duration", 0, "How long they are kept after the last one; whole seconds.")
option("history_meta_ttl", "duration", 0,
  "How long offset and epoch are kept; whole seconds; 0: `channel.history_meta_ttl`.")
option("force_positioning", "bool", false, "Watch the position of every subscriber.")
option("allow_positioning", "bool", false, "A client may ask for it.")
option("force_recovery", "bool", false, "Every subscriber is recovered after a disconnect; needs history.")
option("allow_recovery", "bool", false, "A client may ask for it.")
option("force_recovery_mode", "enum", "stream", "`cache`: only the latest publication is recovered.",
  { values = { "stream", "cache" }, aliases = { [""] = "stream" } })
option("auto_cache_recover", "bool", false,
  "Deliver the latest publication on every subscribe; needs `force_recovery` and mode `cache`.")
option("allowed_delta_types", "list", {}, "Delta types clients may ask for; only `fossil` exists.")
option("delta_publish", "bool", false, "Compute deltas for every publication.")
option("allow_tags_filter", "bool", false, "Clients may filter publications by tags.")
option("publication_data_format", "enum", "", "What data must be; empty: `channel.publication_data_format`.",
  { values = { "", "json", "json_object", "binary" } })

section("Permissions",
  "`…_for_anonymous` extends its neighbours to users without an id; alone it grants nothing.")
option("allow_subscribe_for_client", "bool", false, "Clients may subscribe.")
option("allow_subscribe_for_anonymous", "bool", false, "… anonymous ones too.")
option("allow_publish_for_client", "bool", false, "Clients may publish.")
option("allow_publish_for_subscriber", "bool", false, "Clients may publish while they are subscribed.")
option("allow_publish_for_anonymous", "bool", false, "… anonymous ones too.")
option("allow_presence_for_client", "bool", false, "Clients may ask for presence.")
option("allow_presence_for_subscriber", "bool", false, "Clients may ask while they are subscribed.")
option("allow_presence_for_anonymous", "bool", false, "… anonymous ones too.")
option("allow_history_for_client", "bool", false, "Clients may ask for history.")
option("allow_history_for_subscriber", "bool", false, "Clients may ask while they are subscribed.")
option("allow_history_for_anonymous", "bool", false, "… anonymous ones too.")
option("allow_user_limited_channels", "bool", false,
  "The ids after `#` in a channel name say who may subscribe (`chat#17,42`).")
option("channel_regex", "string", "",
  "Regular expression that the part after the namespace must match; write `^…$` for the whole of it.")

section("Functions")
option("hooks", "hooks", nil, "Functions called for channels of this namespace only.")

-- ---------------------------------------------------------------------------------------------

---@class perigee.HookRow
---@field name string
---@field namespace boolean  may also stand in a namespace
---@field doc string
---@field later boolean?

---@type perigee.HookRow[]
M.hooks = {
  { name = "connect", namespace = false, doc = "`connect(ctx)`: a client connects." },
  { name = "refresh", namespace = false, doc = "`refresh(client)`: a connection is about to expire." },
  { name = "subscribe", namespace = true, doc = "`subscribe(client, req)`: a client subscribes." },
  { name = "sub_refresh", namespace = true, doc = "`sub_refresh(client, req)`: a subscription is about to expire." },
  { name = "publish", namespace = true, doc = "`publish(client, req)`: a client publishes." },
  { name = "transform", namespace = true, doc = "`transform(req)`: every publication." },
  { name = "rpc", namespace = false, doc = "`rpc(client, req)`: a client's RPC." },
  { name = "message", namespace = false, doc = "`message(client, data)`: a client's message." },
  { name = "presence", namespace = true, doc = "`presence(client, req)`: a client asks for presence." },
  { name = "history", namespace = true, doc = "`history(client, req)`: a client asks for history." },
  { name = "unsubscribe", namespace = true, doc = "`unsubscribe(client, req)`: a subscription ended." },
  { name = "disconnect", namespace = false, doc = "`disconnect(client, reason)`: a session ended." },
  { name = "occupied", namespace = true, doc = "`occupied(channel)`: the first subscriber came." },
  { name = "vacated", namespace = true, doc = "`vacated(channel)`: the last subscriber left." },
  { name = "channel_options", namespace = true, doc = "`channel_options(channel)`: options computed per channel." },
  { name = "start", namespace = false, doc = "`start()`: a worker's Lua state starts." },
  { name = "stop", namespace = false, doc = "`stop()`: it ends." },
  { name = "reload", namespace = false, doc = "`reload(old)`: it has replaced the one of the old configuration." },
}

-- Names that Centrifugo's users bring along and that have no counterpart here: a sentence instead
-- of "unknown key". Keys are paths; channel options are listed by their name.
M.foreign = {
  broker = "Perigee has one engine; set engine.type",
  presence_manager = "Perigee has one engine; set engine.type",
  map_broker = "map subscriptions are not supported",
  controller = "Perigee has one engine; set engine.type",
  proxies = "proxies are hooks here; see perigee.proxy",
  consumers = "consumers are not supported",
  shared_poll = "shared poll subscriptions are not supported",
  grpc_api = "there is no gRPC API; use http_api",
  uni_grpc = "there is no gRPC transport",
  webtransport = "WebTransport is not supported",
  swagger = "not supported",
  debug = "not supported",
  graphite = "not supported; use prometheus",
  opentelemetry = "not supported; use prometheus",
  usage_stats = "Perigee sends no usage statistics",
  enable_unreleased_features = "not supported",
  init = "not supported",
  ["http_server.tls_autocert"] = "not supported; use http_server.tls",
  ["http_server.http3"] = "HTTP/3 is not supported",
  ["http_server.h2c_external"] = "HTTP/2 is not supported",
  ["client.proxy"] = "write hooks = { connect = perigee.proxy.connect \"http://…\" }",
  ["channel.proxy"] = "write perigee.proxy.subscribe \"http://…\" where hooks.subscribe stands",
}
M.foreign_channel = {
  subscription_type = "only stream subscriptions are supported",
  map = "map subscriptions are not supported",
  shared_poll = "shared poll subscriptions are not supported",
  map_clients_presence_channel_prefix = "map subscriptions are not supported",
  map_users_presence_channel_prefix = "map subscriptions are not supported",
  subscribe_proxy_enabled = "write hooks.subscribe = perigee.proxy.subscribe \"http://…\"",
  subscribe_proxy_name = "write hooks.subscribe = perigee.proxy.subscribe \"http://…\"",
  publish_proxy_enabled = "write hooks.publish = perigee.proxy.publish \"http://…\"",
  publish_proxy_name = "write hooks.publish = perigee.proxy.publish \"http://…\"",
  sub_refresh_proxy_enabled = "write hooks.sub_refresh = perigee.proxy.sub_refresh \"http://…\"",
  sub_refresh_proxy_name = "write hooks.sub_refresh = perigee.proxy.sub_refresh \"http://…\"",
}

-- The server API's own commands that the perigee module has too (docs/api.md); HTTP has also batch
-- and rpc.
---@type string[]
M.server_calls = {
  "publish", "broadcast", "subscribe", "unsubscribe", "disconnect", "refresh", "presence", "presence_stats",
  "history", "history_remove", "channels", "info", "revoke_token", "invalidate_user_tokens",
}

M.NAMESPACE_PATTERN = "^[-a-zA-Z0-9_.][-a-zA-Z0-9_.]+$"
M.BUCKETS_MAX = 4

---The name of an option's member in the C struct: units last.
---@param row perigee.Option
---@return string
function M.c_name(row)
  local name = row.path:gsub("%.", "_")
  return row.type == "duration" and name .. "_ms" or name
end

---The environment variable of a path.
---@param path string
---@return string
function M.env_name(path)
  return "PERIGEE_" .. path:upper():gsub("[.-]", "_")
end

---@param list perigee.Option[]
---@return table<string, perigee.Option>
function M.index(list)
  local by_path = {}
  for _, row in ipairs(list) do
    by_path[row.path] = row
  end
  return by_path
end

return M
