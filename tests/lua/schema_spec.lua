-- The schema itself, values, places of keys, and whole configurations as they are loaded.
return function(t)
  local config = require "perigee.config"
  local locate = require "perigee.locate"
  local schema = require "perigee.schema"
  local value = require "perigee.value"

  local function load(text, extra)
    local request = {
      path = text and "config.lua", text = text, defaults = {}, env = {}, set = {}, globals = _G, helpers = { version = "0" },
      read = function(path)
        return nil, "no such file: " .. path
      end,
      regex_ok = function(pattern)
        return pattern ~= "("
      end,
      folder_ok = function()
        return true
      end,
    }
    for name, given in pairs(extra or {}) do
      request[name] = given
    end
    local result, problems = config.load(request)
    return result, problems and table.concat(problems, "\n")
  end
  local function problems(text, extra)
    local _, found = load(text, extra)
    return found or "none"
  end
  local function values(text, extra)
    local result, found = load(text, extra)
    t.equal(found, nil)
    return result.values
  end

  t.case("every option has a type, a meaning and a default of its own type", function()
    local seen = {}
    for _, list in ipairs { schema.options, schema.channel_options } do
      for _, row in ipairs(list) do
        t.truthy(not (list == schema.options and seen[row.path]))
        seen[row.path] = list == schema.options or nil
        t.truthy(#row.doc > 0)
        t.equal(row.default == nil, row.type == "hooks" or row.type == "functions")
        if row.default ~= nil and not row.words then
          t.truthy(value.convert(row, row.default) ~= nil)
        end
      end
    end
  end)

  t.case("no two options share a C member or a variable", function()
    local members, names = {}, {}
    for _, row in ipairs(schema.options) do
      t.equal(members[schema.c_name(row)], nil)
      t.equal(names[schema.env_name(row.path)], nil)
      members[schema.c_name(row)], names[schema.env_name(row.path)] = true, true
    end
  end)

  t.case("the committed page and types are what the generator writes", function()
    for what, path in pairs { docs = "docs/configuration.md", luals = "lua/perigee/meta/config.lua",
      text = "docs/perigee.txt" } do
      local out = os.tmpname()
      t.truthy(os.execute(("lua5.4 '%s/scripts/gen_settings.lua' '%s' %s '%s'"):format(t.root, t.root, what, out)))
      local file = assert(io.open(out))
      local fresh = file:read("a")
      file:close()
      os.remove(out)
      file = assert(io.open(t.root .. "/" .. path))
      local committed = file:read("a")
      file:close()
      t.truthy(fresh == committed)
      t.truthy(#fresh > 1000)
    end
  end)

  t.case("durations are seconds or text and become milliseconds", function()
    for text, ms in pairs { ["300ms"] = 300, ["25s"] = 25000, ["10m"] = 600000, ["1.5h"] = 5400000,
      ["1h30m"] = 5400000, ["0s"] = 0, ["-1s"] = -1000, ["720h"] = 2592000000, ["2"] = 2000 } do
      t.equal(value.duration(text), ms)
    end
    t.equal(value.duration(0.05), 50)
    t.equal(value.duration(10), 10000)
    for _, bad in ipairs { "", "s", "10x", "10 s", "1h30", "-", "1e400h", "99999999999999h", 0 / 0, 1 / 0, 1e300, {},
      "0.1ms" } do
      t.equal((value.duration(bad)), nil)
    end
  end)

  t.case("sizes are bytes or text", function()
    t.equal(value.size("64M"), 64 << 20)
    t.equal(value.size("64K"), 65536)
    t.equal(value.size("1.5k"), 1536)
    t.equal(value.size("1GiB"), 1 << 30)
    t.equal(value.size(17), 17)
    for _, bad in ipairs { "", "M", "64X", -1, 1.5, "-1K", "999999999G", {} } do
      t.equal((value.size(bad)), nil)
    end
  end)

  t.case("without anything there are defaults and one row of channel options", function()
    local result = load(nil)
    t.equal(result.values["client.ping_interval"], 25000)
    t.equal(result.values["websocket.message_size_limit"], 65536)
    t.equal(result.values["lua.memory_limit"], 64 << 20)
    t.equal(result.values.workers, 0)
    t.equal(#result.namespaces, 1)
    t.equal(result.namespaces[1].name, "")
    t.equal(#result.namespaces[1].rules.allow, 64)
  end)

  t.case("an explicit zero, empty string or false counts", function()
    local v = values 'return { client = { channel_limit = 0 }, channel = { private_prefix = "" } }'
    t.equal(v["client.channel_limit"], 0)
    t.equal(v["channel.private_prefix"], "")
  end)

  t.case("the file is stronger than dev defaults, the environment than the file, --set than all", function()
    local text = "return { http_server = { port = 2 } }"
    local extra = { defaults = { "http_server.port=1" } }
    t.equal(values(nil, extra)["http_server.port"], 1)
    t.equal(values(text, extra)["http_server.port"], 2)
    extra.env = { "PERIGEE_HTTP_SERVER_PORT=3" }
    t.equal(values(text, extra)["http_server.port"], 3)
    extra.set = { "http_server.port=4", "http_server.port=5" }
    t.equal(values(text, extra)["http_server.port"], 5)
  end)

  t.case("lists in text are separated by spaces, an empty variable is absent", function()
    local v = values(nil, { env = { "PERIGEE_CLIENT_ALLOWED_ORIGINS=https://a.test  https://b.test",
      "PERIGEE_HTTP_SERVER_PORT=", "HOME=/", "PERIGEE_CLIENT_INSECURE=1" } })
    t.equal(v["client.allowed_origins"], { "https://a.test", "https://b.test" })
    t.equal(v["http_server.port"], 8000)
    t.equal(v["client.insecure"], true)
  end)

  t.case("namespaces take options from the environment and from --set", function()
    local text = 'return { channel = { namespaces = { chat = {}, ["my-room"] = {} } } }'
    local result = load(text, {
      env = { "PERIGEE_CHANNEL_NAMESPACES_CHAT_PRESENCE=true", "PERIGEE_CHANNEL_NAMESPACES_MY_ROOM_PRESENCE=true",
        "PERIGEE_CHANNEL_NAMESPACES=news" },
      set = { "channel.namespaces.extra.join_leave=true", "channel.without_namespace.presence=true" },
    })
    local names = {}
    for i, ns in ipairs(result.namespaces) do
      names[i] = ns.name
      t.equal(ns.values.presence, ns.name ~= "news" and ns.name ~= "extra")
    end
    t.equal(names, { "", "chat", "extra", "my-room", "news" })
  end)

  t.case("an unknown key names its line and the nearest key", function()
    local found = problems 'return {\n  client = {\n    ping_intervall = "5s",\n  },\n  helth = {},\n}'
    t.contains(found, "config.lua:3: client.ping_intervall: unknown option (did you mean client.ping_interval?)")
    t.contains(found, "config.lua:5: helth: unknown option (did you mean health?)")
  end)

  t.case("a key in the wrong place is found by its last part", function()
    t.contains(problems 'return { allowed_origins = {} }', "did you mean client.allowed_origins?")
  end)

  t.case("all problems are told at once, in the order of the file", function()
    local found = problems [[return {
      http_server = { port = "x" },
      workers = 0,
      client = { queue_max_size = 1, token = 5 },
      channel = { namespaces = { chat = { presense = true }, x = {}, { name = "a" } } },
      log = { level = "loud" },
      hooks = { conect = print, publish = 5 },
      api = { kick = 1 },
    }]]
    local lines = {}
    for line in found:gmatch("config.lua:(%d+)") do
      lines[#lines + 1] = tonumber(line)
    end
    t.equal(lines, { 2, 3, 4, 4, 5, 5, 5, 6, 7, 7, 8 })
    t.contains(found, "http_server.port: expected an integer")
    t.contains(found, "workers: must be at least 1")
    t.contains(found, "channel.namespaces.chat.presense: unknown channel option (did you mean "
      .. "channel.namespaces.chat.presence?)")
    t.contains(found, "hooks.conect: unknown hook (did you mean connect?)")
    t.contains(found, "api.kick: expected a function")
  end)

  t.case("contradictions name the option to change", function()
    local function channel(options)
      return problems("return { channel = { without_namespace = { " .. options .. " } } }")
    end
    t.contains(channel "history_size = 5", "channel.without_namespace.history_size: needs history_ttl")
    t.contains(channel 'history_ttl = "5s"', "history_ttl: needs history_size")
    t.contains(channel 'history_size = 5, history_ttl = "1500ms"', "history_ttl: must be whole seconds")
    t.contains(channel 'history_size = 5, history_ttl = "2h", history_meta_ttl = "1h"', "must not be shorter")
    t.contains(channel 'history_size = 5, history_ttl = "721h"', "channel.history_meta_ttl")
    t.contains(channel "force_recovery = true", "force_recovery: needs history")
    t.contains(channel "force_push_join_leave = true", "needs join_leave = true")
    t.contains(channel 'channel_regex = "("', "is not a regular expression")
    t.contains(problems 'return { client = { ping_interval = "8s" } }', "must exceed client.pong_timeout (8s)")
    t.contains(problems 'return { client = { pong_timeout = "30s" } }', "client.pong_timeout: ")
    t.contains(problems 'return { client = { allowed_origins = { "example.com" } } }', "an origin has a scheme")
    t.contains(problems 'return { client = { allowed_origins = { "https://A.test" } } }', '"https://a.test"')
    t.contains(problems 'return { client = { subscription_token = { hmac_secret_key = "k" } } }',
      "client.subscription_token.enabled = true")
    t.contains(problems 'return { health = { enabled = true, handler_prefix = "/api" } }', "is used by")
    t.contains(problems 'return { channel = { user_boundary = ":" } }', "is the same as channel.namespace_boundary")
    t.equal(channel "presence = true, allow_presence_for_subscriber = true", "none")
    t.equal(problems "return { client = { ping_interval = 0, pong_timeout = 0 } }", "none")
  end)

  t.case("a reserved option may be given its default and nothing else", function()
    t.equal(problems 'return { sse = { enabled = false } }', "none")
    t.contains(problems 'return { webtransport = {} }', "WebTransport is not supported")
    for _, row in ipairs(schema.options) do
      if row.later and row.type == "bool" then
        local found = problems(nil, { set = { row.path .. "=" .. tostring(not row.default) } })
        t.contains(found, row.path .. ": not supported yet")
      end
    end
  end)

  t.case("problems of flags and variables name the flag and the variable", function()
    t.contains(problems(nil, { set = { "http_server.prot=1" } }),
      "--set: http_server.prot: unknown option (did you mean http_server.port?)")
    t.contains(problems(nil, { set = { "nonsense" } }), "--set: nonsense: expected key=value")
    t.contains(problems(nil, { env = { "PERIGEE_HTTP_SERVER_PORT=http" } }),
      "PERIGEE_HTTP_SERVER_PORT: http_server.port: expected an integer")
    t.contains(problems(nil, { env = { "PERIGEE_HTTP_SERVER_PROT=1" } }), "did you mean PERIGEE_HTTP_SERVER_PORT?")
    t.equal(problems(nil, { env = { "PERIGEE_API_KEY=a", "PERIGEE_TOKEN_SECRET=b", "PERIGEE_VAR_HTTP_SERVER_PROT=c" } }),
      "none")
  end)

  t.case("secrets are never part of a message", function()
    local found = problems(nil, { set = { "http_api.key=", "legacy_api.secret=hunter2", "client.token.hmac_secret_keyy=hunter2" } })
      .. problems 'return { http_api = { key = { "hunter2" } }, client = { token = { hmac_secret_keys = "hunter2" } } }'
    t.contains(found, "http_api.key: expected a string")
    t.equal(found:find("hunter2", 1, true), nil)
  end)

  t.case("errors of the chunk keep file, line and message", function()
    t.contains(problems "return {", "config.lua:1: ")
    t.contains(problems "local x = {}\nlocal y = x.z.w\nreturn {}", "config.lua:2: attempt to index a nil value")
    t.contains(problems "error('no database')", "config.lua:1: no database")
    t.contains(problems "error({})", "config.lua:1: ")
    t.contains(problems "local x = 1", "must return one table")
    t.contains(problems "return 5", "got a number")
    t.contains(problems 'return { ["a\\nb"] = 1 }', "config.lua:1: a?b: unknown option")
    t.contains(problems("\27Lua"), "config.lua:1: ")
  end)

  t.case("unknown globals are named, none can be set", function()
    t.contains(problems "return { workers = wrkers }", 'config.lua:1: there is no global "wrkers"')
    t.contains(problems "pritn(1) return {}", 'did you mean "print"?')
    t.contains(problems "workers = 1\nreturn {}", 'config.lua:1: global "workers" cannot be set')
    t.contains(problems "string.rep = nil return {}", "string cannot be changed")
    for _, name in ipairs { "io", "debug", "package", "dofile", "loadfile" } do
      t.contains(problems("return { x = " .. name .. " }"), "there is no global")
    end
    t.contains(problems 'os.execute("true") return {}', "attempt to call a nil value")
    t.equal(problems 'local s = os.getenv "NOPE" or ("x"):rep(3) return { http_api = { key = s } }', "none")
  end)

  t.case("bytecode is refused, also through load", function()
    t.contains(problems(string.dump(function() return {} end)), "config.lua")
    t.contains(problems 'local f, m = load("\\27Lua") error(m)', "attempt to load a binary chunk")
  end)

  t.case("perigee is there, but cannot wait while the file loads", function()
    t.contains(problems 'require "perigee".sleep(1) return {}', "perigee.sleep may not wait while config.lua loads")
    t.contains(problems 'require "perigee".http.get("x") return {}', "perigee.http.get may not wait")
    t.contains(problems 'require "perigee".nonsense() return {}', "perigee.nonsense does not exist")
    t.equal(problems 'local p = require "perigee" local d = p.dict "x" local v = p.version return {}', "none")
  end)

  t.case("require finds files beside the configuration and says where it looked", function()
    local files = { ["dir/rooms.lua"] = "return { chat = { presence = true } }", ["dir/broken.lua"] = "return {" }
    local extra = {
      path = "dir/config.lua",
      read = function(path)
        return files[path], "none"
      end,
    }
    local result = load('return { channel = { namespaces = require "rooms" } }', extra)
    t.equal(result.namespaces[2].values.presence, true)
    files["dir/more/deep/er.lua"] = "return {}"
    t.contains(problems('return require "deep.er"', extra), 'module "deep.er" not found')
    extra.set = { "lua.path=more" }
    t.equal(problems('return require "deep.er"', extra), "none")
    t.contains(problems('return require "roooms"', extra), "dir/roooms.lua")
    t.contains(problems('return require "broken"', extra), "dir/broken.lua:1: ")
  end)

  t.case("a file perigee/rules.lua in lua.path replaces the rules", function()
    local result = load('return { lua = { path = "mine" } }', {
      path = "dir/config.lua",
      read = function(path)
        if path == "dir/mine/perigee/rules.lua" then
          return "return { explain = function() return true, 'presence', 'because' end }"
        end
        return nil, "none"
      end,
    })
    t.equal(result.namespaces[1].rules.allow[1], 15)
    t.equal(result.reasons, { { option = "channel.without_namespace.presence", cause = "because" } })
    t.equal(result.values["lua.path"], { "dir/mine" })
  end)

  t.case("lines are found through variables, nested tables and comments", function()
    local lines = locate.scan(table.concat({
      "--[[ return { a = 1 } ]]", "local chat = { presence = true,", "  hooks = { publish = function()",
      "    return { presence = 1 } end, subscribe = f } }", "chat.history_size = 3", "return { -- {",
      '  ["client"] = { token = {', "    x = [[ } ]], y = 1 } },", "  channel = { namespaces = { chat = chat } } }",
    }, "\n"))
    local function line(...)
      return (locate.line(lines, { ... }))
    end
    t.equal(line("client", "token", "y"), 8)
    t.equal(line("channel", "namespaces", "chat", "presence"), 2)
    t.equal(line("channel", "namespaces", "chat", "hooks", "subscribe"), 4)
    t.equal(line("channel", "namespaces", "chat", "history_size"), 5)
    t.equal(line("channel", "namespaces", "other"), 9)
    t.equal(line("nothing"), 6)
  end)

  t.case("any text can be searched for lines", function()
    local pieces = { "{", "}", "return", "=", "a", "[[", "]]", '"', "function", "end", "--", ",", "[", "]", "\n", "." }
    local seed = 7
    for _ = 1, 2000 do
      local text = {}
      for i = 1, 12 do
        seed = (seed * 1103515245 + 12345) % 2147483648
        text[i] = pieces[seed // 65536 % #pieces + 1]
      end
      locate.line(locate.scan(table.concat(text, " ")), { "a", "a" })
    end
    locate.scan(("{"):rep(5000))
    locate.scan("return " .. ("{a="):rep(5000))
  end)
end
