-- What no single option can tell: options that contradict each other, and values that could never
-- have an effect. One function per subject; each names the option to change.

local jwks = require "perigee.jwks"
local schema = require "perigee.schema"

local M = {}

---@class perigee.CheckRequest
---@field values table<string, any>                                  server options, complete
---@field assigned table<string, perigee.Assigned>                   those that were given
---@field names string[]                                             namespaces, "" first
---@field namespaces table<string, table<string, perigee.Assigned>>
---@field hooks table<string|false, table<string, true>>              functions by namespace; false: for everybody
---@field complete fun(rows: perigee.Option[], assigned: table): table
---@field regex_ok fun(text: string): boolean
---@field problem fun(at: perigee.Assigned?, key: string, message: string)
---@field warning fun(at: perigee.Assigned?, key: string, message: string)

local function seconds(ms)
  return (("%.3f"):format(ms / 1000):gsub("%.?0+$", "")) .. "s"
end

---@param c perigee.CheckRequest
local function server(c, key, message)
  c.problem(c.assigned[key], key, message)
end

local function is_ip4(text)
  local count = 0
  for part in (text .. "."):gmatch("(%d+)%.") do
    count = count + 1
    if tonumber(part) > 255 then
      return false
    end
  end
  return count == 4 and text:match("^%d+%.%d+%.%d+%.%d+$") ~= nil
end

-- Roughly: the listener looks again.
local function is_ip6(text)
  local colons = select(2, text:gsub(":", ""))
  return colons >= 2 and text:match("^[%x:]+[%d.]*%%?[%w]*$") ~= nil
end

local function address(c)
  local text = c.values["http_server.address"]
  if text ~= "" and not is_ip4(text) and not is_ip6(text) then
    server(c, "http_server.address",
      ('is not an IP address, got %q; such as "127.0.0.1" or "::1"; empty: every interface'):format(text))
  end
end

local function pings(c)
  local interval, timeout = c.values["client.ping_interval"], c.values["client.pong_timeout"]
  if interval <= timeout and not (interval == 0 and timeout == 0) then
    local key = c.assigned["client.ping_interval"] and "client.ping_interval" or "client.pong_timeout"
    server(c, key, ("client.ping_interval (%s) must exceed client.pong_timeout (%s)"):format(seconds(interval),
      seconds(timeout)))
  end
end

local function tokens(c)
  for _, prefix in ipairs { "client.token.", "client.subscription_token." } do
    for _, pair in ipairs { { "audience", "audience_regex" }, { "issuer", "issuer_regex" } } do
      if c.values[prefix .. pair[1]] ~= "" and c.values[prefix .. pair[2]] ~= "" then
        server(c, prefix .. pair[2], ("cannot be set together with %s%s"):format(prefix, pair[1]))
      end
    end
    for _, name in ipairs { "audience_regex", "issuer_regex" } do
      if c.values[prefix .. name] ~= "" and not c.regex_ok(c.values[prefix .. name]) then
        server(c, prefix .. name, "is not a regular expression")
      end
    end
    jwks.check(c.values, prefix, function(option, message)
      server(c, prefix .. option, message)
    end)
    local claim = c.values[prefix .. "user_id_claim"]
    if claim ~= "" and not claim:match("^[a-zA-Z_]+$") then
      server(c, prefix .. "user_id_claim", "the name of a claim has letters and _ only")
    end
  end
  if not c.values["client.subscription_token.enabled"] then
    for key in pairs(c.assigned) do
      if key:match("^client%.subscription_token%.") and not key:match("%.enabled$") then
        server(c, key, "has no effect without client.subscription_token.enabled = true")
      end
    end
  end
end

local function origins(c)
  for _, origin in ipairs(c.values["client.allowed_origins"]) do
    if origin ~= origin:lower() then
      server(c, "client.allowed_origins", ("origins are compared in lower case; write %q"):format(origin:lower()))
    elseif origin ~= "null" and origin:match("^[%w.-]+$") then
      server(c, "client.allowed_origins", ("an origin has a scheme; write %q"):format("https://" .. origin))
    elseif origin:match("^%a+://[^/]+/") then
      server(c, "client.allowed_origins", ("an origin has no path; write %q"):format(origin:match("^%a+://[^/]+")))
    end
  end
end

-- Endpoints: a path each, and no path twice.
local ENDPOINTS = {
  { "websocket", disabled = true }, { "http_api", disabled = true }, { "sse" }, { "http_stream" },
  { "sockjs" }, { "uni_websocket" }, { "uni_sse" }, { "uni_http_stream" }, { "health" }, { "prometheus" },
}

local function endpoints(c)
  local taken = {}
  for _, endpoint in ipairs(ENDPOINTS) do
    local name = endpoint[1]
    local key = name .. ".handler_prefix"
    local prefix = c.values[key]:gsub("/+$", "")
    local on = endpoint.disabled and not c.values[name .. ".disabled"]
      or not endpoint.disabled and c.values[name .. ".enabled"]
    if prefix ~= "" and prefix:sub(1, 1) ~= "/" then
      server(c, key, ("a path begins with a slash; write %q"):format("/" .. prefix))
    elseif prefix:find("[%s?#]") then
      server(c, key, "a path has no blanks, ? or #")
    elseif on and taken[prefix] then
      server(c, key, ("the path %q is used by %s already"):format(prefix == "" and "/" or prefix, taken[prefix]))
    elseif on then
      taken[prefix] = key
    end
    c.values[key] = prefix == "" and "/" or prefix
  end
end

local MARKS = { "private_prefix", "namespace_boundary", "user_boundary", "user_separator" }

local function marks(c)
  local taken = {}
  for _, name in ipairs(MARKS) do
    local key = "channel." .. name
    local mark = c.values[key]
    if mark ~= "" and taken[mark] then
      server(c, key, ("is the same as %s"):format(taken[mark]))
    elseif mark ~= "" then
      taken[mark] = key
    end
  end
end

local function personal(c)
  local prefix = "client.subscribe_to_user_personal_channel."
  if not c.values[prefix .. "enabled"] then
    return
  end
  local name = c.values[prefix .. "personal_channel_namespace"]
  local namespace = c.namespaces[name]
  if not namespace then
    server(c, prefix .. "personal_channel_namespace", ("there is no namespace %q"):format(name))
  elseif c.values[prefix .. "single_connection"] and not (namespace.presence and namespace.presence.value) then
    server(c, prefix .. "single_connection", "needs presence in that namespace")
  end
end

-- --- one namespace ------------------------------------------------------------------------------

local function history(o, say, meta_default)
  local size, ttl, meta = o.history_size, o.history_ttl, o.history_meta_ttl
  if size > 0 and ttl == 0 then
    say("history_size", "needs history_ttl; set both or neither")
  elseif ttl > 0 and size == 0 then
    say("history_ttl", "needs history_size; set both or neither")
  end
  for _, name in ipairs { "history_ttl", "history_meta_ttl" } do
    if o[name] % 1000 ~= 0 then
      say(name, "must be whole seconds")
    end
  end
  if (meta > 0 and meta or meta_default) < ttl then
    local source = meta > 0 and "history_meta_ttl" or "channel.history_meta_ttl"
    say(meta > 0 and "history_meta_ttl" or "history_ttl",
      ("%s (%s) must not be shorter than history_ttl (%s)"):format(source,
        seconds(meta > 0 and meta or meta_default), seconds(ttl)))
  end
  if o.force_recovery and (size == 0 or ttl == 0) then
    say("force_recovery", "needs history: set history_size and history_ttl")
  end
end

local function cache_and_delta(o, say)
  local cache = schema.index(schema.channel_options).force_recovery_mode.values[o.force_recovery_mode + 1]
  if o.auto_cache_recover and not (o.force_recovery and cache == "cache") then
    say("auto_cache_recover", 'needs force_recovery = true and force_recovery_mode = "cache"')
  end
  for _, kind in ipairs(o.allowed_delta_types) do
    if kind ~= "fossil" then
      say("allowed_delta_types", ('%q is no delta type; only "fossil" exists'):format(kind))
    end
  end
end

---The options of one channel, complete. say(option, message) is told each problem.
---@param options table<string, any>
---@param meta_default integer  channel.history_meta_ttl
---@param regex_ok fun(text: string): boolean
---@param say fun(option: string, message: string)
function M.channel(options, meta_default, regex_ok, say)
  history(options, say, meta_default)
  cache_and_delta(options, say)
  if options.force_push_join_leave and not options.join_leave then
    say("force_push_join_leave", "needs join_leave = true")
  end
  if options.channel_regex ~= "" and not regex_ok(options.channel_regex) then
    say("channel_regex", "is not a regular expression")
  end
end

local function namespace(c, name)
  local given = c.namespaces[name]
  local options = c.complete(schema.channel_options, given)
  local prefix = name == "" and "channel.without_namespace." or "channel.namespaces." .. name .. "."
  M.channel(options, c.values["channel.history_meta_ttl"], c.regex_ok, function(option, message)
    c.problem(given[option], prefix .. option, message)
  end)
end

---@param c perigee.CheckRequest
function M.run(c)
  address(c)
  pings(c)
  tokens(c)
  origins(c)
  endpoints(c)
  marks(c)
  personal(c)
  if c.values["channel.history_meta_ttl"] % 1000 ~= 0 then
    server(c, "channel.history_meta_ttl", "must be whole seconds")
  end
  for _, name in ipairs(c.names) do
    namespace(c, name)
  end
end

return M
