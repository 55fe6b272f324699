-- The mistakes that people make in a configuration, and what each of them is told: FILE:LINE, the
-- setting, and what to do. Rows that say "warning:" are allowed and go on.
return function(t)
  local config = require "perigee.config"

  local PUBLIC = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"
  local PRIVATE = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"
  local FILES = { ["dir/public.pem"] = PUBLIC, ["dir/private.pem"] = PRIVATE }

  local function load(text, extra)
    local request = {
      path = "dir/config.lua", text = text, defaults = {}, env = {}, set = {}, globals = _G, helpers = { version = "0" },
      read = function(path)
        return FILES[path], FILES[path] and nil or "No such file or directory"
      end,
      regex_ok = function(pattern)
        return select(2, pattern:gsub("%(", "")) == select(2, pattern:gsub("%)", ""))
      end,
      key_ok = function(_, pem)
        return pem == PUBLIC
      end,
      folder_ok = function(path)
        return path == "dir/lib"
      end,
    }
    for name, given in pairs(extra or {}) do
      request[name] = given
    end
    local result, problems = config.load(request)
    return problems or {}, result and result.warnings or {}
  end

  local function namespace(options)
    return ("return { channel = { namespaces = { chat = {\n%s\n} } } }"):format(options)
  end

  -- { what, config.lua, expected line; env = …, set = … }
  local MISTAKES = {
    -- keys and values
    { "an unknown key", "return {\n  client = {\n    allowed_origin = {},\n} }",
      "dir/config.lua:3: client.allowed_origin: unknown option (did you mean client.allowed_origins?)" },
    { "a key in the wrong place", "return {\n  token = { hmac_secret_key = 'x' },\n}",
      "dir/config.lua:2: token: unknown option (did you mean client.token?)" },
    { "a wrong type", "return {\n  health = {\n    enabled = 'yes',\n} }",
      'dir/config.lua:3: health.enabled: expected true or false, got "yes"' },
    { "a port in quotes", "return {\n  http_server = { port = '8000' },\n}",
      'dir/config.lua:2: http_server.port: expected an integer, got "8000" (write it without quotes)' },
    { "a port out of range", "return {\n  http_server = { port = 80000 },\n}",
      "dir/config.lua:2: http_server.port: must be at most 65535" },
    { "a name as address", "return {\n  http_server = { address = 'localhost' },\n}",
      'dir/config.lua:2: http_server.address: is not an IP address, got "localhost"; such as "127.0.0.1"' },
    { "an address with a port", "return {\n  http_server = { address = '127.0.0.1:8000' },\n}",
      "dir/config.lua:2: http_server.address: is not an IP address" },
    { "an unknown unit", "return {\n  client = { ping_interval = '25 sec' },\n}",
      'dir/config.lua:2: client.ping_interval: expected a duration: seconds, or text such as "300ms", "25s"' },
    { "a size without meaning", "return {\n  client = { queue_max_size = 'big' },\n}",
      'dir/config.lua:2: client.queue_max_size: expected a size: bytes, or text such as "64K", "64M"' },
    { "a misspelt word", "return {\n  log = { level = 'warning' },\n}",
      'dir/config.lua:2: log.level: expected one of "trace", "debug", "info", "warn", "error", "none", got "warning"' },
    { "no workers", "return {\n  workers = 0,\n}", 'dir/config.lua:2: workers: must be at least 1, or "auto"' },
    { "a negative limit", "return {\n  client = { connection_limit = -1 },\n}",
      "dir/config.lua:2: client.connection_limit: must be at least 0" },
    { "a limit below minus one", "return {\n  client = { channel_limit = -2 },\n}",
      "dir/config.lua:2: client.channel_limit: must be at least -1" },
    { "a channel limit of 0", "return {\n  client = { channel_limit = 0 },\n}",
      "dir/config.lua:2: client.channel_limit: warning: with 0 nobody can subscribe; -1 is no limit" },
    { "a bucket without a list", "return { client = { rate_limit = { client_command = {\n"
      .. "publish = { buckets = { interval = '1s', rate = 5 } } } } } }",
      "dir/config.lua:2: client.rate_limit.client_command.publish.buckets: expected a list of buckets, such as "
        .. '{ { interval = "1s", rate = 60 } }' },
    { "a bucket with another field", "return { client = { rate_limit = { client_command = {\n"
      .. "publish = { buckets = { { per = '1s', rate = 5 } } } } } } }",
      'dir/config.lua:2: client.rate_limit.client_command.publish.buckets: a bucket has interval and rate, not "per"' },
    { "pings rarer than the patience for pongs", "return {\n  client = { ping_interval = '5s' },\n}",
      "dir/config.lua:2: client.ping_interval: client.ping_interval (5s) must exceed client.pong_timeout (8s)" },
    { "one path for two things", "return {\n  prometheus = { enabled = true, handler_prefix = '/api' },\n}",
      'dir/config.lua:2: prometheus.handler_prefix: the path "/api" is used by http_api.handler_prefix already' },

    -- who may connect
    { "no origin", "return { client = {\n  token = { hmac_secret_key = ('k'):rep(32) } } }",
      "dir/config.lua:1: client.allowed_origins: warning: is empty: no browser can connect" },
    { "an origin with capitals", "return {\n  client = { allowed_origins = { 'https://Example.com' } },\n}",
      'dir/config.lua:2: client.allowed_origins: origins are compared in lower case; write "https://example.com"' },
    { "an origin with a slash", "return {\n  client = { allowed_origins = { 'https://example.com/' } },\n}",
      'dir/config.lua:2: client.allowed_origins: an origin has no path; write "https://example.com"' },
    { "an origin without scheme", "return {\n  client = { allowed_origins = { 'example.com' } },\n}",
      'dir/config.lua:2: client.allowed_origins: an origin has a scheme; write "https://example.com"' },
    { "any origin", "return {\n  client = { allowed_origins = { '*' } },\n}",
      "dir/config.lua:2: client.allowed_origins: warning: any web page may connect as whoever visits it" },
    { "no token key", "return {}", "dir/config.lua:1: client.token.hmac_secret_key: warning: no key of client.token is set" },
    { "a short token key", "return { client = {\n  token = { hmac_secret_key = 'secret' } } }",
      "dir/config.lua:2: client.token.hmac_secret_key: warning: has 6 bytes; with less than 32 it can be found by trying" },
    { "audience twice", "return { client = { token = {\n  audience = 'a',\n  audience_regex = '^a' } } }",
      "dir/config.lua:3: client.token.audience_regex: cannot be set together with client.token.audience" },
    { "a broken expression", "return { client = { token = {\n  issuer_regex = '^(a' } } }",
      "dir/config.lua:2: client.token.issuer_regex: is not a regular expression" },
    { "a key file that is not there", "return { client = { token = {\n  rsa_public_key = 'rsa.pem' } } }",
      "dir/config.lua:2: client.token.rsa_public_key: neither PEM text nor a file: No such file or directory" },
    { "a private key", "return { client = { token = {\n  rsa_public_key = 'private.pem' } } }",
      "dir/config.lua:2: client.token.rsa_public_key: is a private key; Perigee only needs the public one" },
    { "a key of another kind", "return { client = { token = {\n  ecdsa_public_key = '-----BEGIN X-----' } } }",
      "dir/config.lua:2: client.token.ecdsa_public_key: is not an EC public key" },
    { "subscription keys that nobody looks at", "return { client = {\n  subscription_token = { hmac_secret_key = 'x' } } }",
      "dir/config.lua:2: client.subscription_token.hmac_secret_key: has no effect without "
        .. "client.subscription_token.enabled = true" },
    { "subscription tokens without a key", "return { client = {\n  subscription_token = { enabled = true } } }",
      "dir/config.lua:2: client.subscription_token.hmac_secret_key: warning: no key of client.subscription_token is set" },
    { "a JWKS next to a key", "return { client = { token = { jwks_public_endpoint = 'https://id.test/keys',\n"
      .. "hmac_secret_key = ('k'):rep(32) } } }",
      "dir/config.lua:2: client.token.hmac_secret_key: warning: is ignored: the keys come from "
        .. "client.token.jwks_public_endpoint" },
    { "a personal channel of no namespace", "return { client = { subscribe_to_user_personal_channel = { enabled = true,\n"
      .. "personal_channel_namespace = 'inbox' } } }",
      "dir/config.lua:2: client.subscribe_to_user_personal_channel.personal_channel_namespace: there is no namespace "
        .. '"inbox"' },
    { "a single connection without presence", "return { client = { subscribe_to_user_personal_channel = { enabled = true,\n"
      .. "single_connection = true } } }",
      "dir/config.lua:2: client.subscribe_to_user_personal_channel.single_connection: needs presence in that namespace" },
    { "a header next to anonymous clients", "return { client = { allow_anonymous_connect_without_token = true,\n"
      .. "user_id_http_header = 'X-User' } }",
      "dir/config.lua:2: client.user_id_http_header: warning: has no effect" },
    { "insecure clients", "return {\n  client = { insecure = true },\n}",
      "dir/config.lua:2: client.insecure: warning: everybody may do everything" },
    { "unsigned tokens", "return {\n  client = { insecure_skip_token_signature_verify = true },\n}",
      "dir/config.lua:2: client.insecure_skip_token_signature_verify: warning: whoever writes a token is believed" },
    { "no transport", "return {\n  websocket = { disabled = true },\n}",
      "dir/config.lua:2: websocket.disabled: warning: no transport is left" },

    -- the server API
    { "no API key", "return {\n  http_api = { key = nil },\n}",
      "dir/config.lua:2: http_api.key: warning: is not set: every request to the server API is refused" },
    { "a short API key", "return {\n  http_api = { key = 'key' },\n}",
      "dir/config.lua:2: http_api.key: warning: has 3 bytes; with less than 16 it can be found by trying" },
    { "an open API", "return {\n  http_api = { insecure = true },\n}",
      "dir/config.lua:2: http_api.insecure: warning: everybody may use the server API" },
    { "an own command with a name that is taken", "return {\n  api = { publish = print },\n}",
      "dir/config.lua:2: api.publish: this is a built-in command; choose another name" },

    -- channels
    { "a namespace with a blank", "return { channel = { namespaces = {\n  ['my chat'] = {} } } }",
      "dir/config.lua:2: channel.namespaces.my chat: the name of a namespace has at least two of a-z" },
    { "a list of namespaces", "return { channel = { namespaces = {\n  { name = 'chat' } } } }",
      "dir/config.lua:2: channel.namespaces.1: namespaces are keyed by name" },
    { "a misspelt channel option", namespace "  histroy_size = 10,",
      "dir/config.lua:2: channel.namespaces.chat.histroy_size: unknown channel option (did you mean "
        .. "channel.namespaces.chat.history_size?)" },
    { "history without a time", namespace "  history_size = 10,",
      "dir/config.lua:2: channel.namespaces.chat.history_size: needs history_ttl" },
    { "history without a size", namespace "  history_ttl = '5m',",
      "dir/config.lua:2: channel.namespaces.chat.history_ttl: needs history_size" },
    { "recovery without history", namespace "  force_recovery = true,",
      "dir/config.lua:2: channel.namespaces.chat.force_recovery: needs history: set history_size and history_ttl" },
    { "a wish for recovery without history", namespace "  allow_recovery = true,",
      "dir/config.lua:2: channel.namespaces.chat.allow_recovery: warning: has no effect without history_size" },
    { "deltas without history", namespace "  delta_publish = true, allowed_delta_types = { 'fossil' },",
      "dir/config.lua:2: channel.namespaces.chat.delta_publish: warning: has no effect without history_size" },
    { "deltas that nobody may ask for", namespace "  history_size = 1, history_ttl = 60,\n  delta_publish = true,",
      'dir/config.lua:3: channel.namespaces.chat.delta_publish: warning: has no effect without allowed_delta_types' },
    { "an unknown delta type", namespace "  allowed_delta_types = { 'vcdiff' },",
      'dir/config.lua:2: channel.namespaces.chat.allowed_delta_types: "vcdiff" is no delta type' },
    { "forced pushes of nothing", namespace "  force_push_join_leave = true,",
      "dir/config.lua:2: channel.namespaces.chat.force_push_join_leave: needs join_leave = true" },
    { "joins that reach nobody", namespace "  join_leave = true, presence = true,",
      "dir/config.lua:2: channel.namespaces.chat.join_leave: warning: reaches nobody: set force_push_join_leave" },
    { "presence that is not kept", namespace "  allow_presence_for_client = true,",
      "dir/config.lua:2: channel.namespaces.chat.allow_presence_for_client: warning: has no effect without presence = true" },
    { "history that is not kept", namespace "  allow_history_for_subscriber = true,",
      "dir/config.lua:2: channel.namespaces.chat.allow_history_for_subscriber: warning: has no effect without history_size" },
    { "anonymous clients alone", namespace "  allow_subscribe_for_anonymous = true,",
      "dir/config.lua:2: channel.namespaces.chat.allow_subscribe_for_anonymous: warning: has no effect without "
        .. "allow_subscribe_for_client" },
    { "anonymous publishers alone", namespace "  allow_publish_for_anonymous = true,",
      "dir/config.lua:2: channel.namespaces.chat.allow_publish_for_anonymous: warning: has no effect without "
        .. "allow_publish_for_client or allow_publish_for_subscriber" },
    { "lists of users without their mark", "return { channel = { user_boundary = '', namespaces = { chat = {\n"
      .. "allow_user_limited_channels = true } } } }",
      "dir/config.lua:2: channel.namespaces.chat.allow_user_limited_channels: warning: has no effect while "
        .. "channel.user_boundary is empty" },
    { "one mark for two things", "return {\n  channel = { user_boundary = ':' },\n}",
      "dir/config.lua:2: channel.user_boundary: is the same as channel.namespace_boundary" },
    { "a broken channel expression", namespace "  channel_regex = '^(a',",
      "dir/config.lua:2: channel.namespaces.chat.channel_regex: is not a regular expression" },

    -- functions
    { "a misspelt hook", namespace "  hooks = {\n  pubish = function() end } ,",
      "dir/config.lua:3: channel.namespaces.chat.hooks.pubish: unknown hook of a namespace (did you mean publish?)" },
    { "a hook of connections in a namespace", namespace "  hooks = {\n  connect = function() end },",
      "dir/config.lua:3: channel.namespaces.chat.hooks.connect: unknown hook of a namespace" },
    { "a hook that is called at once", "local function check() end\nreturn {\n  hooks = { connect = check() or 5 },\n}",
      "dir/config.lua:3: hooks.connect: expected a function, got a number" },
    { "a presence hook without presence", namespace "  hooks = { presence = function() end },",
      "dir/config.lua:2: channel.namespaces.chat.hooks.presence: warning: is never called without presence = true" },
    { "a history hook without history", namespace "  hooks = { history = function() end },",
      "dir/config.lua:2: channel.namespaces.chat.hooks.history: warning: is never called without history_size" },
    { "a folder that is not there", "return {\n  lua = { path = { 'lib', 'nosuch' } },\n}",
      'dir/config.lua:2: lua.path: there is no readable folder "dir/nosuch"' },

    -- the file itself
    { "a syntax error", "return {\n  client = { insecure = false\n  log = {} },\n}", "dir/config.lua:3: '}' expected" },
    { "an error while it computes", "local users = nil\nlocal first = users[1]\nreturn {}",
      "dir/config.lua:2: attempt to index a nil value (local 'users')" },
    { "a misspelt variable", "local port = 8000\nreturn { http_server = { port = prot } }",
      'dir/config.lua:2: there is no global "prot"' },
    { "nothing returned", "local config = {}", "dir/config.lua:1: the file must return one table: return { … }" },
    { "a module that is not there", "return {\n  rpc = require 'methods',\n}",
      'dir/config.lua:2: module "methods" not found (looked for dir/methods.lua)' },

    -- other sources
    { "a misspelt variable of the environment", "return {}",
      "PERIGEE_HTTP_API_KYE: unknown variable (did you mean PERIGEE_HTTP_API_KEY?)",
      env = { "PERIGEE_HTTP_API_KYE=x" } },
    { "a wrong value in the environment", "return {}",
      'PERIGEE_WORKERS: workers: expected an integer or "auto", got "many"', env = { "PERIGEE_WORKERS=many" } },
    { "a misspelt --set", "return {}", "--set: http_server.prot: unknown option (did you mean http_server.port?)",
      set = { "http_server.prot=1" } },
    { "a --set without a value", "return {}", "--set: workers: expected key=value", set = { "workers" } },
    { "what stands in another product", "return {\n  grpc_api = { enabled = true },\n}",
      "dir/config.lua:2: grpc_api: there is no gRPC API; use http_api" },
    { "what is not there yet", "return {\n  admin = { enabled = true },\n}",
      "dir/config.lua:2: admin.enabled: not supported yet" },
  }

  for _, row in ipairs(MISTAKES) do
    t.case(row[1], function()
      local problems, warnings = load(row[2], { env = row.env, set = row.set })
      local is_warning = row[3]:find(": warning: ", 1, true) ~= nil
      t.equal(#problems > 0, not is_warning)
      t.contains("\n" .. table.concat(is_warning and warnings or problems, "\n"), "\n" .. row[3])
    end)
  end

  t.case("a whole configuration draws no warning", function()
    local problems, warnings = load [[
      return {
        client = { allowed_origins = { "https://example.com" }, token = { hmac_secret_key = ("k"):rep(32) } },
        http_api = { key = ("k"):rep(16) },
        lua = { path = "lib" },
        channel = { namespaces = { chat = {
          presence = true, join_leave = true, force_push_join_leave = true, allow_presence_for_subscriber = true,
          history_size = 10, history_ttl = "5m", force_recovery = true, allow_history_for_subscriber = true,
          allowed_delta_types = { "fossil" }, delta_publish = true, allow_subscribe_for_client = true,
          allow_subscribe_for_anonymous = true,
          hooks = { presence = function() end, history = function() end },
        } } },
      }]]
    t.equal(problems, {})
    t.equal(warnings, {})
  end)

  t.case("a hook that computes options may bring the other half", function()
    local _, warnings = load(namespace "  allow_presence_for_client = true, hooks = { channel_options = function() end },")
    t.equal(table.concat(warnings, "\n"):find("channel.namespaces", 1, true), nil)
  end)

  t.case("a connect hook needs no key", function()
    local _, warnings = load "return { hooks = { connect = function() end } }"
    t.equal(table.concat(warnings, "\n"):find("client.token", 1, true), nil)
  end)

  t.case("secrets are never part of a warning", function()
    local _, warnings = load "return { http_api = { key = 'hunter2' }, client = { token = { hmac_secret_key = 'hunter2' } } }"
    t.truthy(#warnings >= 2)
    t.equal(table.concat(warnings, "\n"):find("hunter2", 1, true), nil)
  end)
end
