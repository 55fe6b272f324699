-- perigee test: runs a user's own tests of rules and hooks. A test is a function in a file; each runs
-- in a server of its own, without sockets, whose clock stands still. docs/testing.md is its manual.

local assertions = require "perigee.assertions"
local fake_client = require "perigee.fake_client"
local fake_http = require "perigee.fake_http"
local loader = require "perigee.loader"
local raised = require "perigee.raised"
local strict = require "perigee.strict"
local value = require "perigee.value"

local M = {}

local LOG_LINES_SHOWN = 10

---@class perigee.TestRequest
---@field path string
---@field index integer    which of the file's tests to run; 0: says how many there are
---@field number integer   of that test in the output
---@field filter string?   only tests whose name holds this

-- The functions of `t` that need no server.
local function claims(t)
  for _, name in ipairs { "equal", "matches", "truthy", "falsy", "raises", "allowed", "denied", "fail" } do
    t[name] = assertions[name]
  end
end

local function seconds_of(time)
  local ms, problem = value.duration(time)
  if not ms or ms < 0 then
    assertions.fail("t.advance: " .. (problem or "time does not go back"))
  end
  return ms / 1000
end

-- The claims of a token: those that were given, over what the keys ask for.
local function complete_claims(driver, perigee, given)
  local rules = driver.token_rules()
  local result = { iat = math.floor(perigee.now()), iss = rules.issuer, aud = rules.audience }
  for name, claim in pairs(given) do
    result[name] = claim
  end
  if rules.user_id_claim then
    result[rules.user_id_claim] = result.sub
  end
  return result
end

-- What needs the server.
local function actions(t, driver, perigee, http)
  local json = perigee.json
  local connect = fake_client.new(driver, json, assertions.fail)

  function t.token(given)
    return driver.sign(json.encode(complete_claims(driver, perigee, given or {})), false)
  end

  function t.subscription_token(user, channel, given)
    local all = { sub = user, channel = channel }
    for name, claim in pairs(given or {}) do
      all[name] = claim
    end
    return driver.sign(json.encode(complete_claims(driver, perigee, all)), true)
  end

  ---A client that has connected, or the refusal.
  function t.connect(options)
    options = options or {}
    local token = options.token
    if not token and options.user then
      local given = { sub = options.user, info = options.info, meta = options.meta, caps = options.caps }
      for name, claim in pairs(options.claims or {}) do
        given[name] = claim
      end
      token = t.token(given)
    end
    return connect(options, {
      token = token, data = options.data, name = options.name, version = options.version, subs = options.subs,
    })
  end

  ---A client that has connected.
  function t.client(options)
    local client = t.connect(options)
    if client.error then
      assertions.fail("the client could not connect: " .. assertions.show(client.error))
    end
    return client
  end

  ---A command of the server API, built in or of config.lua.
  function t.api(command, params)
    local text = driver.api(command, json.encode(params or {}))
    if not text then
      assertions.fail(("t.api: %s is no command, or takes other parameters"):format(tostring(command)))
    end
    local reply = json.decode(text)
    return reply.error and { error = reply.error } or reply.result
  end

  function t.advance(time)
    driver.advance(seconds_of(time))
  end

  t.now = perigee.now

  function t.http(url, answer, failure)
    http.answer(url, answer, failure)
  end

  function t.requests()
    return http.requests
  end
end

-- --- the log ----------------------------------------------------------------------------------------

-- Lines of the log, as tables; the newest last.
local function log_reader(driver, json)
  local lines = {}
  return function()
    for text in (driver.log() or ""):gmatch("[^\n]+") do
      lines[#lines + 1] = json.decode(text)
    end
    return lines
  end
end

local function log_text(line)
  local fields = {}
  for name, field in pairs(line) do
    if name ~= "level" and name ~= "message" then
      fields[#fields + 1] = ("%s=%s"):format(name, tostring(field))
    end
  end
  table.sort(fields)
  return ("%s %s  %s"):format(line.level, line.message, table.concat(fields, "  "))
end

-- --- the tool ---------------------------------------------------------------------------------------

-- os with the clock that stands still.
local function fake_os(os, now)
  local copy = {}
  for name, member in pairs(os) do
    copy[name] = member
  end
  function copy.time(at)
    return at and os.time(at) or math.floor(now())
  end
  function copy.date(format, at)
    return os.date(format, at or math.floor(now()))
  end
  return strict.read_only(copy, "os")
end

---@param driver table   of src/cli/driver.c and test.c
---@param perigee table  the module, not closed yet
function M.new(driver, perigee)
  local tool, t, tests = {}, {}, {}
  local http = fake_http.new(perigee.json, perigee.sleep)
  local logs = log_reader(driver, perigee.json)
  local may_print = false

  local function write(text)
    driver.write(text .. "\n")
  end

  -- A text below a result: every line begins with a mark that TAP readers skip.
  local function explain(text)
    for line in (text .. "\n"):gmatch "(.-)\n" do
      write("#   " .. line)
    end
  end

  perigee.http = { get = http.get, request = http.request }
  assertions.here = driver.here
  claims(t)
  actions(t, driver, perigee, http)
  t.logs = logs

  local loaded = false -- the file has run, and with it every t.test

  ---@param name string
  ---@param fn function
  function t.test(name, fn)
    if type(name) ~= "string" or type(fn) ~= "function" then
      assertions.fail("t.test takes a name and a function")
    elseif loaded then
      assertions.fail("t.test may not stand inside of a test: nobody would run it")
    end
    tests[#tests + 1] = { name = name, fn = fn }
  end

  function tool.prepare(request)
    request.modules["perigee.test"] = t
    request.folders[#request.folders + 1] = loader.folder(driver.path) == "" and "./" or loader.folder(driver.path)
    request.extra = {
      os = fake_os(request.globals.os, perigee.now),
      print = function(...)
        if may_print then
          local parts = table.pack(...)
          for i = 1, parts.n do
            parts[i] = tostring(parts[i])
          end
          explain(table.concat(parts, "\t"))
        end
      end,
    }
  end

  local function load_file(path)
    local text, why = driver.read(path)
    if not text then
      error(("%s: %s"):format(path, why), 0)
    end
    local chunk, problem = tool.loader.load(text, path)
    if not chunk then
      error(problem, 0)
    end
    chunk()
  end

  local function chosen(filter)
    local list = {}
    for _, test in ipairs(tests) do
      if not filter or test.name:find(filter, 1, true) then
        list[#list + 1] = test
      end
    end
    return list
  end

  local function report(number, name, problem)
    write(("%s %d - %s"):format(problem and "not ok" or "ok", number, (name:gsub("[\n#]", " "))))
    if not problem then
      return
    end
    explain(problem)
    local lines = logs()
    for i = math.max(1, #lines - LOG_LINES_SHOWN + 1), #lines do
      explain("log: " .. log_text(lines[i]))
    end
  end

  ---@param request perigee.TestRequest
  ---@return integer  with index 0: how many tests there are, -1 when the file does not load; else 0 or 1
  function tool.run(request)
    may_print = request.index == 0
    local ok, problem = xpcall(load_file, raised.handler(driver), request.path)
    loaded = true
    local list = chosen(request.filter)
    if request.index == 0 then
      if not ok then
        report(request.number, request.path .. " loads", problem)
      end
      return ok and #list or -1
    end
    local test = list[request.index] or { name = "?" }
    if ok and not test.fn then
      ok, problem = false, "the file has other tests than when it was first loaded"
    end
    if ok then
      may_print = true
      driver.start((test.name:gsub("[\n#]", " ")))
      driver.advance(0)
      ok, problem = xpcall(test.fn, raised.handler(driver))
    end
    report(request.number, test.name, not ok and problem or nil)
    return ok and 0 or 1
  end

  return tool
end

return M
