-- From config.lua, the environment and the command line to checked values. Every problem is
-- collected, each with the place to look at; values come out in the form that C stores.

local check = require "perigee.check"
local loader = require "perigee.loader"
local locate = require "perigee.locate"
local permissions = require "perigee.permissions"
local schema = require "perigee.schema"
local source = require "perigee.source"
local stub = require "perigee.stub"
local suggest = require "perigee.suggest"
local value = require "perigee.value"
local warn = require "perigee.warn"

local M = {}

local OPTIONS, CHANNEL = schema.index(schema.options), schema.index(schema.channel_options)
local WITHOUT, NAMESPACES = "channel.without_namespace", "channel.namespaces"
local FEW = 100 -- problems reported at most; a file that is all wrong needs no more

---@class perigee.ConfigRequest
---@field path string?        config.lua; nil: defaults only
---@field text string?        its text
---@field defaults string[]   "key=value", weaker than the file
---@field env string[]        "NAME=value"
---@field set string[]        "key=value" of --set
---@field read fun(path: string): string?, string?
---@field regex_ok fun(text: string): boolean
---@field key_ok fun(family: string, pem: string): boolean
---@field fetch fun(source: table): table[]?, string?  { key, text or decoded JSON } of etcd or Consul
---@field folder_ok fun(path: string): boolean  it is a folder that can be looked into
---@field globals table
---@field helpers table       of the perigee module: what needs no server

---@class perigee.Problem
---@field where string        FILE:LINE, a variable or a flag
---@field line integer
---@field key string?
---@field message string

---@class perigee.Assigned
---@field value any           converted
---@field where string
---@field line integer

---@class perigee.Loading
---@field request perigee.ConfigRequest
---@field lines perigee.Lines
---@field problems perigee.Problem[]
---@field warnings perigee.Problem[]
---@field hooks table<string, table<string, true>>                  names by namespace; false: for everybody
---@field values table<string, perigee.Assigned>                    server options by path
---@field namespaces table<string, table<string, perigee.Assigned>> channel options; "" is without
---@field key string?  where the values come from that are being read, when it is no file

-- Every table that has options below it: "http_server", "http_server.tls" …
local SECTIONS = { channel = true }
for path in pairs(OPTIONS) do
  for stop in path:gmatch("()%.") do
    SECTIONS[path:sub(1, stop - 1)] = true
  end
end

local function sorted(keys)
  local list = {}
  for key in pairs(keys) do
    list[#list + 1] = key
  end
  table.sort(list, function(a, b)
    return tostring(a) < tostring(b)
  end)
  return list
end

local KNOWN = sorted(OPTIONS)
KNOWN[#KNOWN + 1] = WITHOUT
KNOWN[#KNOWN + 1] = NAMESPACES
for path in pairs(SECTIONS) do
  KNOWN[#KNOWN + 1] = path
end
table.sort(KNOWN)
local KNOWN_CHANNEL = sorted(CHANNEL)

local function enter(list, where, line, key, message)
  if #list < FEW then
    list[#list + 1] = { where = where, line = line, key = key, message = message }
  end
end

---@param loading perigee.Loading
local function problem(loading, where, line, key, message)
  enter(loading.problems, where, line, key, message)
end

local function line_of(loading, path)
  if loading.key then -- of the source
    return loading.key, 0
  end
  local line = locate.line(loading.lines, path)
  return ("%s:%d"):format(loading.request.path, line), line
end

-- "did you mean": the same depth first, then the same last part anywhere in the tree.
local function near_option(path)
  local near = suggest.nearest(path, KNOWN)
  if near then
    return near
  end
  local leaf = path:match("[^.]+$")
  for _, known in ipairs(KNOWN) do
    if known:match("[^.]+$") == leaf then
      return known
    end
  end
end

local function unknown(path)
  local part = ""
  for piece in path:gmatch("[^.]+") do
    part = part == "" and piece or part .. "." .. piece
    if schema.foreign[part] then
      return schema.foreign[part]
    end
  end
  local near = near_option(path)
  return "unknown option" .. (near and (" (did you mean %s?)"):format(near) or "")
end

local function unknown_channel(prefix, name)
  if schema.foreign_channel[name] then
    return schema.foreign_channel[name]
  end
  local near = suggest.nearest(name, KNOWN_CHANNEL)
  return "unknown channel option" .. (near and (" (did you mean %s.%s?)"):format(prefix, near) or "")
end

-- Enters one value into target[row.path], or notes why not.
local function assign(loading, target, row, key, raw, is_text, where, line)
  local converted, message
  if is_text then
    converted, message = value.convert_text(row, raw)
  else
    converted, message = value.convert(row, raw)
  end
  if converted == nil then
    problem(loading, where, line, key, message)
  elseif row.later and not value.equal(converted, value.default(row)) then
    problem(loading, where, line, key, "not supported yet")
  else
    target[row.path] = { value = converted, where = where, line = line }
  end
end

-- --- config.lua ---------------------------------------------------------------------------------

local function split(path)
  local parts = {}
  for part in path:gmatch("[^.]+") do
    parts[#parts + 1] = part
  end
  return parts
end

local function below(path, key)
  local copy = table.move(path, 1, #path, 1, {})
  copy[#copy + 1] = tostring(key)
  return copy
end

local function key_text(path)
  return table.concat(path, ".")
end

-- Functions stay in Lua; here only their names are looked at. namespace: false for everybody's.
local function read_hooks(loading, path, hooks, namespace)
  local in_namespace = namespace ~= false
  local where, line = line_of(loading, path)
  if type(hooks) ~= "table" then
    problem(loading, where, line, key_text(path), "expected a table of functions, got a " .. type(hooks))
    return
  end
  local known, names, set = {}, {}, {}
  loading.hooks[namespace] = set
  for _, hook in ipairs(schema.hooks) do
    if hook.namespace or not in_namespace then
      known[hook.name] = hook
      names[#names + 1] = hook.name
    end
  end
  for _, name in ipairs(sorted(hooks)) do
    local at = below(path, name)
    where, line = line_of(loading, at)
    if not known[name] then
      local near = suggest.nearest(tostring(name), names)
      problem(loading, where, line, key_text(at), (in_namespace and "unknown hook of a namespace" or "unknown hook")
        .. (near and (" (did you mean %s?)"):format(near) or ""))
    elseif type(hooks[name]) ~= "function" then
      problem(loading, where, line, key_text(at), "expected a function, got a " .. type(hooks[name]))
    elseif known[name].later then
      problem(loading, where, line, key_text(at), "not supported yet")
    else
      set[name] = true
    end
  end
end

-- Names that commands of one's own may not have.
local API_COMMANDS = { batch = true, rpc = true }
for _, name in ipairs(schema.server_calls) do
  API_COMMANDS[name] = true
end

local function read_functions(loading, path, functions)
  local where, line = line_of(loading, path)
  if type(functions) ~= "table" then
    problem(loading, where, line, key_text(path), "expected a table of functions, got a " .. type(functions))
    return
  end
  for _, name in ipairs(sorted(functions)) do
    local at = below(path, name)
    where, line = line_of(loading, at)
    if type(name) ~= "string" or name == "" then
      problem(loading, where, line, key_text(at), "the key must be a name")
    elseif path[#path] == "api" and API_COMMANDS[name] then
      problem(loading, where, line, key_text(at), "this is a built-in command; choose another name")
    elseif type(functions[name]) ~= "function" then
      problem(loading, where, line, key_text(at), "expected a function, got a " .. type(functions[name]))
    end
  end
end

local function read_channel_options(loading, path, options, name)
  local where, line = line_of(loading, path)
  if type(options) ~= "table" then
    problem(loading, where, line, key_text(path), "expected a table of channel options, got a " .. type(options))
    return
  end
  local target = loading.namespaces[name] or {}
  loading.namespaces[name] = target
  for _, key in ipairs(sorted(options)) do
    local at = below(path, key)
    where, line = line_of(loading, at)
    local row = CHANNEL[key]
    if not row then
      problem(loading, where, line, key_text(at), unknown_channel(key_text(path), tostring(key)))
    elseif row.type == "hooks" then
      read_hooks(loading, at, options[key], name)
    else
      assign(loading, target, row, key_text(at), options[key], false, where, line)
    end
  end
end

local function read_namespaces(loading, path, namespaces)
  local where, line = line_of(loading, path)
  if type(namespaces) ~= "table" then
    problem(loading, where, line, key_text(path), "expected a table keyed by name, got a " .. type(namespaces))
    return
  end
  for _, name in ipairs(sorted(namespaces)) do
    local at = below(path, name)
    where, line = line_of(loading, at)
    if type(name) ~= "string" then
      problem(loading, where, line, key_text(at), "namespaces are keyed by name: { chat = { … } }")
    elseif not name:match(schema.NAMESPACE_PATTERN) then
      problem(loading, where, line, key_text(at),
        "the name of a namespace has at least two of a-z, A-Z, 0-9, -, _ and .")
    else
      read_channel_options(loading, at, namespaces[name], name)
    end
  end
end

local function read_table(loading, path, tree)
  for _, key in ipairs(sorted(tree)) do
    local at = below(path, key)
    local name = key_text(at)
    local where, line = line_of(loading, at)
    local row = OPTIONS[name]
    if type(key) ~= "string" or key:find(".", 1, true) then
      problem(loading, where, line, name, "the key must be a name")
    elseif name == WITHOUT then
      read_channel_options(loading, at, tree[key], "")
    elseif name == NAMESPACES then
      read_namespaces(loading, at, tree[key])
    elseif row and row.type == "hooks" then
      read_hooks(loading, at, tree[key], false)
    elseif row and row.type == "functions" then
      read_functions(loading, at, tree[key])
    elseif row then
      assign(loading, loading.values, row, name, tree[key], false, where, line)
    elseif not SECTIONS[name] then
      problem(loading, where, line, name, unknown(name))
    elseif type(tree[key]) ~= "table" then
      problem(loading, where, line, name, "expected a table, got a " .. type(tree[key]))
    else
      read_table(loading, at, tree[key])
    end
  end
end

-- An error of the chunk: "FILE:LINE: message", with the path as it was given (Lua shortens it).
local function raised(loading, message)
  local path = loading.request.path
  if type(message) ~= "string" then
    message = type(message) == "table" and tostring(message.message or "an error object was raised")
      or tostring(message)
  end
  local file, line, text = message:match("^(.-):(%d+): (.*)$")
  if not file then
    problem(loading, path .. ":1", 1, nil, message)
    return
  end
  if file:sub(1, 3) == "..." and path:sub(-#file + 3) == file:sub(4) then
    file = path
  end
  problem(loading, file .. ":" .. line, math.tointeger(tonumber(line)) or 1, nil, text)
end

-- Where require looks: beside config.lua, then in lua.path.
local function folders(loading)
  local base = loader.folder(loading.request.path or "")
  local list = { base == "" and "./" or base }
  local path = loading.values["lua.path"]
  for _, folder in ipairs(path and path.value or {}) do
    list[#list + 1] = loader.join(base, folder)
  end
  return list
end

-- While the file loads only the stronger sources can have said what lua.path is.
local function early_path(loading)
  for _, list in ipairs { loading.request.env, loading.request.set } do
    for _, text in ipairs(list) do
      local folders_text = text:match("^PERIGEE_LUA_PATH=(.+)$") or text:match("^lua%.path=(.*)$")
      if folders_text then
        assign(loading, loading.values, OPTIONS["lua.path"], "lua.path", folders_text, true, "--set", 0)
      end
    end
  end
end

local function sources(loading)
  local request = loading.request
  return {
    globals = request.globals, read = request.read, folders = folders(loading),
    modules = { perigee = stub.new(request.helpers) },
  }
end

local function read_file(loading)
  local request = loading.request
  loading.lines = locate.scan(request.text)
  local files = loader.new(sources(loading))
  local chunk, message = files.load(request.text, request.path)
  if not chunk then
    raised(loading, message)
    return
  end
  local ok, tree = pcall(chunk)
  if not ok then
    raised(loading, tree)
  elseif type(tree) ~= "table" then
    local where, line = line_of(loading, {})
    problem(loading, where, line, nil,
      tree == nil and "the file must return one table: return { … }" or "the file must return one table, got a "
        .. type(tree))
  else
    read_table(loading, {}, tree)
  end
end

-- --- environment and command line ---------------------------------------------------------------

local function namespace(loading, name)
  loading.namespaces[name] = loading.namespaces[name] or {}
  return loading.namespaces[name]
end

-- Finds the option of a path given as text; makes the namespace that it names.
local function resolve(loading, path)
  if OPTIONS[path] then
    return OPTIONS[path], loading.values
  end
  local name = path:match("^channel%.without_namespace%.([^.]+)$")
  if name then
    return CHANNEL[name], loading.namespaces[""], unknown_channel(WITHOUT, name)
  end
  local ns, key = path:match("^channel%.namespaces%.(.+)%.([^.]+)$")
  if not ns then
    return nil, nil, unknown(path)
  elseif not CHANNEL[key] then
    return nil, nil, unknown_channel(NAMESPACES .. "." .. ns, key)
  elseif not ns:match(schema.NAMESPACE_PATTERN) then
    return nil, nil, "the name of a namespace has at least two of a-z, A-Z, 0-9, -, _ and ."
  end
  return CHANNEL[key], namespace(loading, ns)
end

local function read_pairs(loading, list, where)
  for _, text in ipairs(list) do
    local path, raw = text:match("^([^=]*)=(.*)$")
    if not path or path == "" then
      problem(loading, where, 0, path and "" or text, "expected key=value")
    else
      local row, target, message = resolve(loading, path)
      if not row then
        problem(loading, where, 0, path, message)
      else
        assign(loading, target, row, path, raw, true, where, 0)
      end
    end
  end
end

-- All variables that mean something now: name → { row, target, key }.
local function variables(loading)
  local known = {}
  local function add(prefix, rows, target)
    for _, row in ipairs(rows) do
      if row.type ~= "hooks" and row.type ~= "functions" then
        local key = prefix .. row.path
        known[schema.env_name(key)] = { row = row, target = target, key = key }
      end
    end
  end
  add("", schema.options, loading.values)
  for name, target in pairs(loading.namespaces) do
    add(name == "" and WITHOUT .. "." or NAMESPACES .. "." .. name .. ".", schema.channel_options, target)
  end
  return known
end

local function read_environment(loading)
  local env, names = {}, {}
  for _, text in ipairs(loading.request.env) do
    local name, raw = text:match("^(PERIGEE_[^=]*)=(.+)$")
    if name and not name:match("^PERIGEE_VAR_") then
      env[name] = raw
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for name in (env.PERIGEE_CHANNEL_NAMESPACES or ""):gmatch("%S+") do
    if name:match(schema.NAMESPACE_PATTERN) then
      namespace(loading, name)
    else
      problem(loading, "PERIGEE_CHANNEL_NAMESPACES", 0, NAMESPACES, ("%q cannot be a namespace"):format(name))
    end
  end
  local known = variables(loading)
  local known_names = sorted(known)
  for _, name in ipairs(names) do
    local found = known[name]
    if found then
      assign(loading, found.target, found.row, found.key, env[name], true, name, 0)
    elseif name ~= "PERIGEE_CHANNEL_NAMESPACES" then
      local near = suggest.nearest(name, known_names, 2)
      if near then
        problem(loading, name, 0, nil, ("unknown variable (did you mean %s?)"):format(near))
      end
    end
  end
end

-- --- the result ---------------------------------------------------------------------------------

-- Fills defaults in; returns plain values.
local function complete(rows, assigned)
  local values = {}
  for _, row in ipairs(rows) do
    local found = assigned[row.path]
    if found then
      values[row.path] = found.value
    else
      values[row.path] = value.default(row)
    end
  end
  return values
end

local READING = { problem = problem, resolve = resolve, assign = assign, read_table = read_table }

local KEY_WORDS = {
  rsa = "is not an RSA public key (PEM that begins with -----BEGIN PUBLIC KEY----- or a certificate)",
  ecdsa = "is not an EC public key on P-256, P-384 or P-521 (PEM that begins with -----BEGIN PUBLIC KEY----- or a certificate)",
}

-- PEM options hold text from here on.
local function read_pem(loading, values)
  for _, row in ipairs(schema.options) do
    local text = values[row.path]
    if row.type == "pem" and text ~= "" and not text:find("-----BEGIN", 1, true) then
      local content, message = loading.request.read(loader.join(loader.folder(loading.request.path or ""), text))
      if content then
        values[row.path] = content
      else
        local at = loading.values[row.path]
        problem(loading, at.where, at.line, row.path, "neither PEM text nor a file: " .. tostring(message))
        text = ""
      end
    end
    if row.key and values[row.path]:find("PRIVATE KEY-----", 1, true) then
      local at = loading.values[row.path]
      problem(loading, at.where, at.line, row.path, "is a private key; Perigee only needs the public one")
    elseif row.key and text ~= "" and not loading.request.key_ok(row.key, values[row.path]) then
      local at = loading.values[row.path]
      problem(loading, at.where, at.line, row.path, KEY_WORDS[row.key])
    end
  end
end

-- One line each, in the order of the file.
local function format(problems, mark)
  table.sort(problems, function(a, b)
    if a.line ~= b.line then
      return a.line < b.line
    elseif a.where ~= b.where then
      return a.where < b.where
    elseif a.key ~= b.key then
      return (a.key or "") < (b.key or "")
    end
    return a.message < b.message
  end)
  local texts, last = {}, nil
  for _, p in ipairs(problems) do
    local text = (p.where .. ": " .. (p.key and p.key .. ": " or "") .. mark .. p.message):gsub("%c", "?")
    if text ~= last then
      texts[#texts + 1] = text
    end
    last = text
  end
  return texts
end

-- What no single option tells: contradictions, then what is weak or idle.
local function look_around(loading, values, names)
  local function to(list)
    return function(at, key, message)
      local where, line = at and at.where, at and at.line
      if not at and loading.request.text then
        where, line = line_of(loading, split(key))
      elseif not at then
        where, line = "configuration", 0
      end
      enter(list, where, line, key, message)
    end
  end
  ---@type perigee.CheckRequest
  local request = {
    values = values, assigned = loading.values, names = names, namespaces = loading.namespaces,
    hooks = loading.hooks, complete = complete, regex_ok = loading.request.regex_ok,
    problem = to(loading.problems), warning = to(loading.warnings),
  }
  check.run(request)
  warn.run(request)
  local places = folders(loading)
  for i = 2, #places do -- the first is that of config.lua
    if not loading.request.folder_ok(places[i]) then
      request.problem(loading.values["lua.path"], "lua.path", ("there is no readable folder %q"):format(places[i]))
    end
  end
end

-- Asks the rules what every namespace allows.
local function decide(loading, result, names)
  local module, wrong = permissions.rules(sources(loading))
  if not module then
    raised(loading, wrong)
    return
  end
  local reasons = permissions.reasons()
  result.reasons = reasons.list
  for i, name in ipairs(names) do -- "" sorts first: row 0
    local values = complete(schema.channel_options, loading.namespaces[name])
    local function path_of(option)
      return (name == "" and WITHOUT or NAMESPACES .. "." .. name) .. "." .. option
    end
    local ok, tables = pcall(permissions.decide, module, path_of, values, reasons)
    if not ok then
      raised(loading, tables)
    end
    result.namespaces[i] = { name = name, values = values, rules = ok and tables or nil }
  end
end

-- Where each option that was given stands: "path<TAB>place".
local function places(loading)
  local list = {}
  local function add(prefix, assigned)
    for path, at in pairs(assigned) do
      list[#list + 1] = ("%s%s\t%s"):format(prefix, path, at.where)
    end
  end
  add("", loading.values)
  for name, assigned in pairs(loading.namespaces) do
    add(name == "" and WITHOUT .. "." or NAMESPACES .. "." .. name .. ".", assigned)
  end
  return list
end

---Builds everything C needs, or says everything that is wrong.
---@param request perigee.ConfigRequest
---@return table? result       result.warnings: one line each of what is allowed, but weak or without effect;
---  result.places: a line for each option that was given
---@return string[]? problems  one line each
function M.load(request)
  ---@type perigee.Loading
  local loading = {
    request = request, lines = locate.scan(""), problems = {}, warnings = {}, hooks = {}, values = {},
    namespaces = { [""] = {} },
  }
  read_pairs(loading, request.defaults, "default")
  if request.text then
    early_path(loading)
    read_file(loading)
  end
  local function read_stronger()
    read_environment(loading)
    read_pairs(loading, request.set, "--set")
  end
  read_stronger()
  if source.read(loading, complete(source.ROWS, loading.values), READING) then
    read_stronger() -- again, over what came
  end

  local result = { values = complete(schema.options, loading.values), namespaces = {} }
  local names = sorted(loading.namespaces)
  look_around(loading, result.values, names)
  read_pem(loading, result.values)

  decide(loading, result, names)
  if #loading.problems > 0 then
    return nil, format(loading.problems, "")
  end
  result.warnings = format(loading.warnings, "warning: ")
  result.places = places(loading)
  local searched = folders(loading)
  table.remove(searched, 1)
  result.values["lua.path"] = searched
  return result
end

return M
