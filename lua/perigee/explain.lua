-- perigee explain: lets a client of a world without sockets give the command, and says what came of
-- it and which option or function decided. Nothing is decided here.

local core = require "perigee.core"
local locate = require "perigee.locate"
local permissions = require "perigee.permissions"
local schema = require "perigee.schema"

local M = {}

local ANSWER_SECONDS = 30
local START_SECONDS = 5 -- how long a start hook may take before nobody waits for it
local SHOWN_BYTES = 200 -- of a value

---@class perigee.ExplainRequest
---@field config string
---@field action string
---@field channel string
---@field namespace string?  the path of its namespace's options; nil: there is none
---@field token string?
---@field data string?       JSON
---@field subscribed boolean
---@field places string      where each option stands that was given: lines "path<TAB>place"

---@class perigee.HookRecord
---@field path string        "hooks.subscribe" and the like
---@field hook function
---@field results table?     nil: it did not return
---@field problem any        what it raised

local driver, json -- of this Lua state
local tool = {} -- what the tool is asked for
local records = {} ---@type perigee.HookRecord[]
local rules_request -- where the rules in force are looked for

-- --- hooks, watched -------------------------------------------------------------------------------

local function watched(path, hook)
  return function(...)
    local record = { path = path, hook = hook }
    records[#records + 1] = record
    local results = table.pack(pcall(hook, ...))
    if not results[1] then
      record.problem = results[2]
      error(results[2], 0)
    end
    record.results = table.pack(table.unpack(results, 2, results.n))
    return table.unpack(record.results, 1, record.results.n)
  end
end

local function watch_all(prefix, hooks)
  local copy = {}
  for name, hook in pairs(hooks or {}) do
    copy[name] = type(hook) == "function" and watched(prefix .. name, hook) or hook
  end
  return copy
end

-- The table of config.lua with nothing but its functions, each watched.
local function watch_config(config)
  local channel = config.channel or {}
  local namespaces = {}
  for name, options in pairs(channel.namespaces or {}) do
    namespaces[name] = { hooks = watch_all(("channel.namespaces.%s.hooks."):format(name), options.hooks) }
  end
  local without = (channel.without_namespace or {}).hooks
  return {
    hooks = watch_all("hooks.", config.hooks),
    channel = {
      namespaces = namespaces,
      without_namespace = { hooks = watch_all("channel.without_namespace.hooks.", without) },
    },
    rpc = config.rpc,
    api = config.api,
  }
end

-- --- words ------------------------------------------------------------------------------------------

local function short(text)
  return #text > SHOWN_BYTES and text:sub(1, SHOWN_BYTES) .. "…" or text
end

local function show(value)
  if type(value) == "table" and getmetatable(value) == false and math.type(value.code) == "integer" then
    local name, text = "perigee.error", value.message
    if value.reason then
      name, text = "perigee.disconnect_code", value.reason
    end
    return ("%s(%d, %q)"):format(name, value.code, tostring(text))
  end
  local ok, text = pcall(json.encode, value)
  return short(ok and text or tostring(value))
end

local function outcome(record)
  local results = record.results
  if record.problem ~= nil then
    return "raised: " .. short(tostring(record.problem))
  elseif not results then
    return "did not return within lua.timeout"
  elseif results[1] == nil and results[2] == nil then
    return "returned nil"
  elseif results[1] == nil then
    return "returned nil and " .. show(results[2])
  end
  return "returned " .. show(results[1])
end

local function has_opinion(record)
  return not record.results or record.results[1] ~= nil or record.results[2] ~= nil
end

-- --- places -----------------------------------------------------------------------------------------

---@class perigee.Places
---@field request perigee.ExplainRequest
---@field lines perigee.Lines
---@field given table<string, string>  path → place

---@param request perigee.ExplainRequest
local function read_places(request)
  local places = { request = request, lines = locate.scan(driver.read(request.config) or ""), given = {} }
  for path, place in request.places:gmatch("([^\t\n]*)\t([^\n]*)") do
    places.given[path] = place
  end
  return places
end

-- Where an option was set, and whether it was at all: else the nearest table around it.
local function place_of(places, path)
  if places.given[path] then
    return places.given[path], true
  end
  local parts = {}
  for part in path:gmatch("[^.]+") do
    parts[#parts + 1] = part
  end
  return ("%s:%d"):format(places.request.config, (locate.line(places.lines, parts))), false
end

local CHANNEL = schema.index(schema.channel_options)

-- One line about the option that decided; channel options come with or without their namespace.
local function option_line(places, decision)
  local path, namespace = decision.option, places.request.namespace
  if path == "" then
    path = namespace or "channel"
  elseif CHANNEL[path] and namespace then
    path = namespace .. "." .. path
  end
  local where, is_set = place_of(places, path)
  local name = namespace and path:sub(1, #namespace + 1) == namespace .. "." and path:sub(#namespace + 2)
  local state = ""
  if name and CHANNEL[name] then
    local value = (core.options(places.request.channel) or {})[name] -- flags and numbers
    state = not is_set and " (not set)" or value ~= nil and " = " .. tostring(value) or ""
  end
  return ("%s: %s%s: %s"):format(where, path, state, decision.cause)
end

-- --- asking -----------------------------------------------------------------------------------------

local function fields(request)
  local list = { '"channel":' .. json.encode(request.channel) }
  if request.action == "publish" then
    list[2] = '"data":' .. (request.data or "{}"):gsub("[\r\n]", " ")
  elseif request.action == "subscribe" then
    list[#list + 1] = request.token and '"token":' .. json.encode(request.token)
    list[#list + 1] = request.data and '"data":' .. request.data:gsub("[\r\n]", " ")
  elseif request.action == "history" then
    list[2] = '"limit":1'
  end
  return table.concat(list, ",")
end
function tool.prepare(request)
  rules_request = request
end

function tool.loaded(config)
  return watch_config(config)
end

-- The message that answers command id, or what ended the client.
local function answer(client, id)
  while true do
    for line in (client:hear() or ""):gmatch("[^\n]+") do
      local message = json.decode(line)
      if message.id == id then
        return message
      end
    end
    local code, reason = client:over()
    if code then
      return { error = { code = code, message = reason } }
    elseif not driver.wait(ANSWER_SECONDS) then
      return nil
    end
  end
end

-- What was asked before the command; options that were computed stay in force.
local function forget()
  for i = #records, 1, -1 do
    if not records[i].path:match "channel_options$" then
      table.remove(records, i)
    end
  end
  driver.decisions()
end

local function write(...)
  driver.write(string.format(...) .. "\n")
end

local function hook_line(places, record)
  local file, line = driver.where(record.hook)
  local where = file and ("%s:%d"):format(file, line) or (place_of(places, record.path))
  return ("%s: %s %s"):format(where, record.path, outcome(record))
end

-- The hook that a decision is about: the last one with an opinion; what transforms comes after.
local function deciding_hook(decision, action)
  for i = #records, 1, -1 do
    if has_opinion(records[i]) and (decision.code ~= 0 or records[i].path:match("[^.]+$") == action) then
      return records[i]
    end
  end
end

-- An option that the hook channel_options gave: "hooks.channel_options: NAME".
local function computed_line(places, decision)
  local name = decision.option:match "^hooks%.channel_options: (.*)$"
  for i = name and #records or 0, 1, -1 do
    if records[i].path:match "channel_options$" and has_opinion(records[i]) then
      return ("%s: %s: %s"):format(hook_line(places, records[i]), name, decision.cause), records[i]
    end
  end
end

local function tell(request, reply, list)
  local places = read_places(request)
  local decision = list[#list] or { code = 0, cause = "", option = "" }
  local by_hook = decision.option:match("^hooks") and deciding_hook(decision, request.action)
  write(reply.error and "denied (code %d)" or "allowed", reply.error and reply.error.code)
  local line, computed_by = computed_line(places, decision)
  by_hook = by_hook or computed_by
  write("%s", line or by_hook and hook_line(places, by_hook) or option_line(places, decision))
  local rules, path = permissions.rules(rules_request)
  if not by_hook and path then
    write("%s:%d: these rules decide in place of the built-in ones", path, select(2, driver.where(rules.explain)))
  end
  for _, record in ipairs(records) do
    if record ~= by_hook then
      write("%s", hook_line(places, record))
    end
  end
end

-- A connected client, in the channel if that is wanted.
local function connected(request)
  local client = driver.client {}
  driver.enter(client)
  local reply = answer(client, 1)
  if not reply or reply.error then
    return nil, reply
  end
  if request.subscribed then
    driver.join(client)
    driver.wait(ANSWER_SECONDS)
  end
  return client
end

---@param request perigee.ExplainRequest
function tool.run(request)
  local waited = 0
  while driver.others() > 0 and waited < START_SECONDS do
    driver.wait(0.05)
    waited = waited + 0.05
  end
  local client, reply = connected(request)
  if client then
    forget()
    client:say(('{"id":2,"%s":{%s}}'):format(request.action, fields(request)))
    reply = answer(client, 2)
  end
  if not reply then
    write("no answer within %d seconds", ANSWER_SECONDS)
    return 1
  end
  tell(request, reply, driver.decisions())
  return reply.error and 1 or 0
end

---@param of_driver table  of src/cli/driver.c and explain.c
---@param perigee table    the module
function M.new(of_driver, perigee)
  driver, json = of_driver, perigee.json
  return tool
end

return M
