-- The part of genconfig --from that is about event proxies: each becomes a hook of perigee.proxy, if
-- its backend speaks HTTP.

local lua_text = require "perigee.lua_text"

local M = {}

-- Read here, and by nobody else.
M.section = { ["client.proxy"] = true, ["channel.proxy"] = true, proxies = true, rpc = true }
M.channel_option = {}
local CHANNEL_EVENTS = { "subscribe", "publish", "sub_refresh" }
for _, event in ipairs(CHANNEL_EVENTS) do
  M.channel_option[event .. "_proxy_enabled"] = true
  M.channel_option[event .. "_proxy_name"] = true
end

local FIELDS = {
  "endpoint", "timeout", "http_headers", "emulated_headers", "binary_encoding", "include_connection_meta", "http",
}
local HTTP_FIELDS = { static_headers = true, status_to_code_transforms = true }
local KNOWN = { enabled = true, name = true, grpc = true, grpc_metadata = true }
for _, name in ipairs(FIELDS) do
  KNOWN[name] = true
end

local function is_true(flag)
  return flag == true or flag == "true" or flag == 1
end

local function seconds(timeout)
  return type(timeout) == "number" and timeout / 1000000000 or timeout
end

local function is_empty(field)
  return field == nil or field == "" or field == false or type(field) == "table" and next(field) == nil
end

-- Without JSON's null, and without what says nothing.
local function clean(c, from)
  if type(from) ~= "table" then
    return from
  end
  local copy = {}
  for key, field in pairs(from) do
    if field ~= c.null and not is_empty(field) then
      copy[key] = clean(c, field)
    end
  end
  return copy
end

-- The source of a hook for one event, or nil and a note why not.
local function hook_source(c, perigee, note, path, event, object)
  object = type(object) == "table" and clean(c, object) or {}
  local endpoint = object.endpoint
  if type(endpoint) ~= "string" then
    note(c, path, "the proxy has no endpoint")
    return nil
  elseif not endpoint:lower():match "^https?://" then
    note(c, path, "gRPC backends are not supported; one that speaks HTTP goes into perigee.proxy." .. event)
    return nil
  end
  if object.http ~= nil and type(object.http) ~= "table" then
    note(c, path .. ".http", "is not a section")
    return nil
  end
  local options = {}
  for _, name in ipairs(FIELDS) do
    options[name] = object[name]
  end
  options.timeout = seconds(options.timeout)
  for name in pairs(options.http or {}) do
    if not HTTP_FIELDS[name] then
      note(c, path .. ".http." .. name, "perigee.proxy has no such option")
      options.http[name] = nil
    end
  end
  for name in pairs(object) do
    if not KNOWN[name] then
      note(c, path .. "." .. name, "perigee.proxy has no such option")
    end
  end
  for _, text in pairs(options.http and options.http.static_headers or {}) do
    if type(text) == "string" and text:find("${", 1, true) then
      note(c, path .. ".http.static_headers", "${…} is not expanded; write os.getenv in its place")
    end
  end
  local ok, problem = pcall(perigee.proxy[event], options)
  if not ok then
    note(c, path, (tostring(problem):gsub("^[^ ]*:%d+: ", "")))
    return nil
  end
  local only = next(options) == "endpoint" and next(options, "endpoint") == nil
  return function(indent)
    return ("perigee.proxy.%s %s"):format(event, lua_text.value(only and endpoint or options, indent))
  end
end

-- A backend that decided and cannot be asked any more must not leave the door open: whoever would
-- have been decided about is refused.
local REFUSALS = {
  connect = "function(ctx) if not ctx.token then return false end end",
  subscribe = "function(_, req) if not req.token then return false end end",
  publish = "function() return false end",
}

local function set(c, note, path, where, hook, source)
  local refusal = REFUSALS[hook]
  if not source and refusal then
    note(c, path, ("hooks.%s refuses in its place, until you write it"):format(hook))
    source = function()
      return refusal
    end
  end
  if source then
    c.hooks[where] = c.hooks[where] or {}
    c.hooks[where][hook] = source
  end
end


-- The proxy that a namespace means by its name.
local function named(proxies, name, default)
  if name == nil or name == "" or name == "default" then
    return default, true
  end
  for _, object in ipairs(proxies or {}) do
    if type(object) == "table" and object.name == name then
      return object, true
    end
  end
  return nil, false
end

local function section(tree, ...)
  for _, name in ipairs { ... } do
    tree = type(tree) == "table" and tree[name] or {}
  end
  return type(tree) == "table" and tree or {}
end

local function read_channels(c, tree, perigee, note)
  local defaults = section(tree, "channel", "proxy")
  for _, ns in ipairs(c.namespaces) do
    local path = ns.name == "" and "channel.without_namespace" or "channel.namespaces." .. ns.name
    for _, event in ipairs(CHANNEL_EVENTS) do
      if is_true(ns.given[event .. "_proxy_enabled"]) then
        local name = ns.given[event .. "_proxy_name"]
        local object, found = named(tree.proxies, name, defaults[event])
        local at = ("%s.%s_proxy_enabled"):format(path, event)
        if not found then
          note(c, at, ("there is no proxy %q"):format(tostring(name)))
        end
        set(c, note, at, path, event, found and hook_source(c, perigee, note, at, event, object))
      end
    end
  end
end

local function read_rpc(c, tree, perigee, note)
  local rpc = section(tree, "rpc")
  local without = section(rpc, "without_namespace")
  if is_true(without.proxy_enabled) then
    local object = named(tree.proxies, without.proxy_name, rpc.proxy)
    local at = "rpc.without_namespace.proxy_enabled"
    set(c, note, at, "", "rpc", hook_source(c, perigee, note, at, "rpc", object))
  end
  for i, namespace in ipairs(section(rpc, "namespaces")) do
    note(c, "rpc.namespaces." .. tostring(type(namespace) == "table" and namespace.name or i),
      "there are no RPC namespaces; a hook rpc gets every method, in req.method")
  end
  local ping = section(rpc, "ping")
  if is_true(ping.enabled) then
    c.rpc[type(ping.method) == "string" and ping.method ~= "" and ping.method or "ping"] = "function() return {} end"
  end
end

---@param c perigee.Conversion
---@param tree table     the configuration that is read
---@param perigee table  the module
---@param note fun(c: perigee.Conversion, path: string, text: string)
function M.read(c, tree, perigee, note)
  for _, event in ipairs { "connect", "refresh" } do
    local object = section(tree, "client", "proxy", event)
    if is_true(object.enabled) then
      local at = "client.proxy." .. event
      set(c, note, at, "", event, hook_source(c, perigee, note, at, event, object))
    end
  end
  read_channels(c, tree, perigee, note)
  read_rpc(c, tree, perigee, note)
end

return M
