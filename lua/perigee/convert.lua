-- perigee genconfig --from: a configuration of Centrifugo v6 as a config.lua. What it cannot carry
-- over is named, and what comes out passes perigee check.

local convert_proxies = require "perigee.convert_proxies"
local lua_text = require "perigee.lua_text"
local schema = require "perigee.schema"
local toml = require "perigee.toml"
local value = require "perigee.value"

local M = {}

local ROUNDS = 50 -- of checking; each leaves out what was refused
local OPTIONS, CHANNEL = schema.index(schema.options), schema.index(schema.channel_options)
-- At the top of files that are older than v6.
local OLD = { "token_hmac_secret_key", "token_rsa_public_key", "api_key", "admin_password", "allowed_origins",
  "namespaces", "presence", "history_size", "proxy_connect_endpoint", "redis_address" }

local SECTIONS = {}
for path in pairs(OPTIONS) do
  for stop in path:gmatch "()%." do
    SECTIONS[path:sub(1, stop - 1)] = true
  end
end

---@class perigee.Conversion
---@field options table<string, any>                       server options by path, in the form of config.lua
---@field namespaces { name: string, options: table<string, any> }[]  the first, "", is without_namespace
---@field hooks table<string, table<string, fun(indent: string): string>>  source of functions, by path of the namespace and name
---@field rpc table<string, string>                        source of methods
---@field notes string[]                                   what was not carried over
---@field base64 table
---@field null any

local function note(c, path, text)
  c.notes[#c.notes + 1] = path .. ": " .. text
end

-- --- values -----------------------------------------------------------------------------------------

local function from_nanoseconds(number)
  local seconds = number / 1000000000
  return math.tointeger(seconds) or seconds
end

-- All that fits the pattern: words, parts of a path.
local function split(text, pattern)
  local list = {}
  for piece in text:gmatch(pattern) do
    list[#list + 1] = piece
  end
  return list
end

-- Base64 of PEM is allowed there.
local function pem_text(c, text)
  if text:find("-----BEGIN", 1, true) then
    return text
  end
  local decoded = c.base64.decode((text:gsub("%s", "")))
  return decoded and decoded:find("-----BEGIN", 1, true) and decoded or text
end

local READERS = {
  bool = function(_, raw)
    return type(raw) == "string" and value.convert_text({ type = "bool" }, raw) or raw
  end,
  int = function(_, raw)
    return type(raw) == "string" and math.tointeger(tonumber(raw)) or type(raw) == "number" and math.tointeger(raw) or raw
  end,
  duration = function(_, raw)
    return type(raw) == "number" and from_nanoseconds(raw) or raw
  end,
  list = function(_, raw)
    return type(raw) == "string" and split(raw, "%S+") or raw
  end,
  pem = function(c, raw)
    return type(raw) == "string" and pem_text(c, raw) or raw
  end,
}
READERS.size = READERS.int

local function text_of(_, raw)
  return math.type(raw) == "integer" and tostring(raw) or raw
end
READERS.string, READERS.secret = text_of, text_of

-- What is missing may matter.
local INSTEAD = {
  ["http_server.internal_port"] = "not supported yet: the server API, metrics and health are on the one port; keep them from the public",
}
local ZEROS = { [0] = true, [""] = true, [false] = true, ["0s"] = true, ["0"] = true }

-- There an explicit zero means the default; nil: leave the option out.
local function carry(c, row, path, raw)
  if raw == nil or raw == c.null then
    return nil
  end
  local read = READERS[row.type]
  local result = raw
  if read then
    result = read(c, raw)
  end
  local converted, problem = value.convert(row, result)
  if ZEROS[result] and row.default ~= nil and not value.equal(converted, value.default(row)) then
    note(c, path, "a zero means the default there; left out")
    return nil
  elseif converted == nil then
    note(c, path, problem)
    return nil
  elseif row.later and not value.equal(converted, value.default(row)) then
    note(c, path, INSTEAD[path] or "not supported yet")
    return nil
  end
  return result
end

-- --- the tree ---------------------------------------------------------------------------------------

local function sorted(of)
  local keys = {}
  for key in pairs(of) do
    keys[#keys + 1] = tostring(key)
  end
  table.sort(keys)
  return keys
end

local function read_channel_options(c, path, given, into)
  for _, name in ipairs(sorted(given)) do
    local row, at = CHANNEL[name], path .. "." .. name
    if name == "name" or convert_proxies.channel_option[name] then
      goto continue
    elseif not row or row.type == "hooks" then
      if given[name] ~= c.null and not ZEROS[given[name]] then
        note(c, at, schema.foreign_channel[name] or "unknown channel option")
      end
    else
      into[name] = carry(c, row, at, given[name])
    end
    ::continue::
  end
end

local function read_namespaces(c, list)
  local seen = {}
  if type(list) ~= "table" or (#list == 0 and next(list) ~= nil) then
    note(c, "channel.namespaces", "is not a list")
    return
  end
  for i, given in ipairs(list) do
    local name = type(given) == "table" and given.name
    if seen[name] then
      note(c, ("channel.namespaces[%d]"):format(i), ("there is a namespace %s already; the first is taken"):format(name))
    elseif type(name) ~= "string" or not name:match(schema.NAMESPACE_PATTERN) then
      note(c, ("channel.namespaces[%d]"):format(i), "its name cannot be that of a namespace")
    else
      seen[name] = true
      local ns = { name = name, options = {}, given = given }
      c.namespaces[#c.namespaces + 1] = ns
      read_channel_options(c, "channel.namespaces." .. name, given, ns.options)
    end
  end
end

local function read_tree(c, tree, prefix)
  for _, key in ipairs(sorted(tree)) do
    local path, given = prefix .. key, tree[key]
    local row = OPTIONS[path]
    if given == c.null or convert_proxies.section[path] then
      goto continue -- read by themselves
    elseif path == "channel.namespaces" then
      read_namespaces(c, given)
    elseif path == "channel.without_namespace" then
      c.namespaces[1].given = type(given) == "table" and given or {}
      read_channel_options(c, path, c.namespaces[1].given, c.namespaces[1].options)
    elseif row and row.type ~= "hooks" and row.type ~= "functions" then
      c.options[path] = carry(c, row, path, given)
    elseif SECTIONS[path] or path == "channel" then
      if type(given) == "table" then
        read_tree(c, given, path .. ".")
      else
        note(c, path, "is not a section")
      end
    else
      note(c, path, schema.foreign[path] or "unknown option")
    end
    ::continue::
  end
end

-- --- what the check refuses ---------------------------------------------------------------------------

local function lower_origins(c)
  local origins = c.options["client.allowed_origins"] or {}
  for i, origin in ipairs(origins) do
    if type(origin) == "string" and origin ~= origin:lower() then
      note(c, "client.allowed_origins", ("%q is in lower case now"):format(origin))
      origins[i] = origin:lower()
    end
  end
end

-- What kept something out must not let it in: an expression that cannot be read becomes one that
-- matches nothing.
local NEVER = "x^"

local function replacement(path, current)
  if path:match "_regex$" and current ~= NEVER then
    return NEVER, "; until you write another it matches nothing"
  end
  return nil, ""
end

-- Takes an option out; false: it is none of ours.
local function leave_out(c, path, why)
  local holder, name = c.options, path
  for _, ns in ipairs(c.namespaces) do
    local prefix = ns.name == "" and "channel.without_namespace." or "channel.namespaces." .. ns.name .. "."
    if path:sub(1, #prefix) == prefix then
      holder, name = ns.options, path:sub(#prefix + 1)
    end
  end
  if holder[name] == nil then
    return false
  end
  local instead, remark = replacement(path, holder[name])
  holder[name] = instead
  note(c, path, why .. remark)
  return true
end

-- --- the text ---------------------------------------------------------------------------------------

-- The title of the section that a top-level key begins in.
local function titles()
  local result = {}
  for _, section in ipairs(schema.sections) do
    for _, row in ipairs(section.options) do
      local top = row.path:match "^[^.]+"
      result[top] = result[top] or section.title
    end
  end
  return result
end

local function enter_hooks(root, path, hooks)
  for _, hook in ipairs(sorted(hooks)) do
    local at = table.move(path, 1, #path, 1, {})
    at[#at + 1], at[#at + 2] = "hooks", hook
    lua_text.enter(root, at, hooks[hook](("  "):rep(#at)))
  end
end

local function enter_channel_options(root, path, ns, hooks)
  for _, row in ipairs(schema.channel_options) do
    if ns.options[row.path] ~= nil then
      local at = table.move(path, 1, #path, 1, {})
      at[#at + 1] = row.path
      lua_text.enter(root, at, lua_text.value(ns.options[row.path]))
    end
  end
  enter_hooks(root, path, hooks)
  if next(ns.options) == nil and next(hooks) == nil and ns.name ~= "" then
    lua_text.enter(root, path, "{}")
  end
end

local function text_of_all(c, name)
  local root = lua_text.node()
  for _, row in ipairs(schema.options) do
    if c.options[row.path] ~= nil then
      lua_text.enter(root, split(row.path, "[^.]+"), lua_text.value(c.options[row.path]))
    end
  end
  enter_hooks(root, {}, c.hooks[""] or {})
  for i, ns in ipairs(c.namespaces) do
    local path = i == 1 and { "channel", "without_namespace" } or { "channel", "namespaces", ns.name }
    enter_channel_options(root, path, ns, c.hooks[table.concat(path, ".")] or {})
  end
  for method, source in pairs(c.rpc) do
    lua_text.enter(root, { "rpc", method }, source)
  end
  for key, title in pairs(titles()) do
    root.comments[key] = title
  end
  local lines = {
    ("-- Made from %s by perigee genconfig. It holds the secrets of that file: keep it private."):format(name),
    "-- Every option is in docs/configuration.md; `perigee check` says what is wrong or weak here.",
  }
  if #c.notes > 0 then
    lines[#lines + 1] = "--"
    lines[#lines + 1] = "-- Not carried over:"
    for _, text in ipairs(c.notes) do
      lines[#lines + 1] = "--   " .. text:gsub("%c", " ")
    end
  end
  lines[#lines + 1] = ""
  local members = lua_text.members(root, "  ", true)
  if members:find("perigee.proxy.", 1, true) then
    lines[#lines + 1] = 'local perigee = require "perigee"\n'
  end
  lines[#lines + 1] = "return {"
  lines[#lines + 1] = members
  lines[#lines + 1] = "}\n"
  return table.concat(lines, "\n")
end

-- --- the tool ---------------------------------------------------------------------------------------

local function parse(driver, json, path, text)
  local kind = path:lower():match "%.([^./]*)$"
  if kind == "json" then
    local tree, problem = json.decode(text)
    return tree, problem
  elseif kind == "yaml" or kind == "yml" then
    return driver.yaml(text)
  elseif kind == "toml" then
    return toml.read(text)
  end
  return nil, "its name must end in .json, .yaml, .yml or .toml"
end

local function is_old(tree)
  if type(tree.engine) == "string" then
    return true
  end
  for _, key in ipairs(OLD) do
    if tree[key] ~= nil then
      return true
    end
  end
  return false
end

-- Leaves out what the check refuses, until it passes; nil and what it still says.
local function settle(c, driver, name)
  for _ = 1, ROUNDS do
    local text = text_of_all(c, name)
    local problems = driver.check(text)
    if problems == "" then
      return text
    end
    local changed = false
    for line in problems:gmatch "[^\n]+" do
      local path, why = line:match "^%d+: ([^ ]+): (.*)$"
      changed = path and leave_out(c, path, why) or changed
    end
    if not changed then
      return nil, problems
    end
  end
  return nil, "it does not settle"
end

---@param driver table   of src/cli/driver.c and convert.c
---@param perigee table
function M.new(driver, perigee)
  local tool = {}

  ---@param path string  of the configuration to read
  ---@return string? text
  ---@return string message  the notes, one line each; or what is wrong
  function tool.convert(path)
    local text, why = driver.read(path)
    local tree, problem
    if text then
      tree, problem = parse(driver, perigee.json, path, (text:gsub("^\xEF\xBB\xBF", "")))
    end
    if type(tree) ~= "table" then
      return nil, why or problem or "holds no sections"
    elseif is_old(tree) then
      return nil, "is of Centrifugo v5 or older; only the sections of v6 can be read: convert it to v6 first"
    end
    ---@type perigee.Conversion
    local c = {
      options = {}, namespaces = { { name = "", options = {}, given = {} } }, hooks = {}, rpc = {}, notes = {},
      base64 = perigee.base64, null = perigee.json.null,
    }
    read_tree(c, tree, "")
    lower_origins(c)
    convert_proxies.read(c, tree, perigee, note)
    local result, still = settle(c, driver, path:match "[^/]*$")
    if not result then
      return nil, "perigee check still refuses what comes out:\n" .. still
    end
    return result, table.concat(c.notes, "\n")
  end

  ---Says by an exit code and fields of itself what came out.
  function tool.run(path)
    tool.text, tool.message = tool.convert(path)
    driver.result(tool.text, tool.message)
    return tool.text and 0 or 1
  end

  return tool
end

return M
