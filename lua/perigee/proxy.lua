-- Centrifugo's event proxies as hooks: perigee.proxy.connect "http://…" is a function to put where a
-- hook stands. It asks the backend over HTTP with the same JSON, and does with the answer what
-- Centrifugo does, so that a backend written for it need not change. Payloads pass as bytes.

local value = require "perigee.value"

local M = {}

local perigee -- the module of this Lua state
local proxy = {}

local FAILED = {} -- the backend gave no usable answer; the cause is logged
local KEPT = { "data", "info", "meta" } -- raw JSON in answers
local RETRY_SECONDS = 60 -- how long a refresh that failed prolongs what would have expired
local OVERRIDES = { "presence", "join_leave", "force_push_join_leave", "force_positioning", "force_recovery" }
local OPTIONS = {
  endpoint = "string", timeout = "duration", http_headers = "table", emulated_headers = "table", binary_encoding = "boolean",
  include_connection_meta = "boolean", http = "table",
}
local HTTP_OPTIONS = { static_headers = "table", status_to_code_transforms = "table" }
-- They belong to the connection or frame the message; content-type is always ours.
local NOT_FORWARDED = {}
for name in ("connection content-length content-type expect host keep-alive proxy-connection te trailer "
  .. "transfer-encoding upgrade"):gmatch "%S+" do
  NOT_FORWARDED[name] = true
end

---@class perigee.ProxyOptions
---@field endpoint string                   http:// or https:// URL
---@field timeout? number|string            of the whole call; default 1s
---@field http_headers? string[]            the client's request headers to send on
---@field emulated_headers? string[]        those of its connect command to send on; anybody can write them
---@field binary_encoding? boolean          send b64data in place of data
---@field include_connection_meta? boolean  send the connection's meta
---@field http? { static_headers?: table<string, string>, status_to_code_transforms?: table[] }

-- --- answers -------------------------------------------------------------------------------------

local function not_null(content)
  if content ~= perigee.json.null then
    return content
  end
end

local function to_answer(content)
  local disconnect, err = not_null(content.disconnect), not_null(content.error)
  if disconnect then
    return perigee.disconnect_code(disconnect.code, disconnect.reason or "")
  elseif err then
    return perigee.error(err.code, err.message or "", err.temporary == true)
  end
end

-- --- options -------------------------------------------------------------------------------------

local function check_types(where, given, known)
  for name, content in pairs(given) do
    local want = known[name]
    if not want then
      error(("%s: unknown option %s"):format(where, tostring(name)), 4)
    elseif want ~= "duration" and type(content) ~= want then
      error(("%s: %s must be a %s"):format(where, name, want), 4)
    end
  end
end

local function is_list(given)
  local count = 0
  for _ in pairs(given) do
    count = count + 1
  end
  return count == #given
end

local function is_header_name(name)
  return type(name) == "string" and name:match "^[%w!#$%%&'*+.^_`|~-]+$" ~= nil
end

local function header_names(where, option, list)
  local names = {}
  if not is_list(list or {}) then
    error(("%s: %s is a list of names of headers"):format(where, option), 4)
  end
  for i, name in ipairs(list or {}) do
    if not is_header_name(name) then
      error(("%s: %s holds names of headers"):format(where, option), 4)
    elseif NOT_FORWARDED[name:lower()] then
      error(("%s: %s: %s cannot be forwarded"):format(where, option, name), 4)
    end
    names[i] = name:lower()
  end
  return names
end

-- Those with content-type may stay: it is set anyway, as Centrifugo does.
local function check_static(where, headers)
  for name, text in pairs(headers) do
    if not is_header_name(name) or type(text) ~= "string" or text:find "[%z\1-\8\10-\31\127]" then
      error(where .. ": static_headers holds names and texts", 4)
    elseif NOT_FORWARDED[name:lower()] and name:lower() ~= "content-type" then
      error(("%s: static_headers: %s cannot be set"):format(where, name), 4)
    end
  end
end

local function check_transforms(where, list)
  if not is_list(list) then
    error(where .. ": status_to_code_transforms is a list", 4)
  end
  for _, transform in ipairs(list) do
    local ok = type(transform) == "table" and math.type(transform.status_code) == "integer"
    local to = ok and (transform.to_error or transform.to_disconnect)
    if not ok or type(to) ~= "table" or (transform.to_error and transform.to_disconnect) then
      error(where .. ": status_to_code_transforms holds { status_code =, to_error = {…} } or to_disconnect", 4)
    end
    local fits, problem = pcall(to_answer, { error = transform.to_error, disconnect = transform.to_disconnect })
    if not fits then
      problem = tostring(problem):match "%((.*)%)" or tostring(problem)
      error(("%s: status_to_code_transforms: status %d: %s"):format(where, transform.status_code, problem), 4)
    end
  end
end

-- What a call needs, checked while config.lua loads.
local function read_options(where, given)
  if type(given) == "string" then
    given = { endpoint = given }
  elseif type(given) ~= "table" then
    error(where .. " wants an endpoint, or a table of options", 3)
  end
  check_types(where, given, OPTIONS)
  local http = given.http or {}
  check_types(where .. ": http", http, HTTP_OPTIONS)
  local endpoint = given.endpoint or ""
  if endpoint:match "^grpc://" then
    error(where .. ": gRPC is not supported; the endpoint is an http:// or https:// URL", 3)
  elseif not endpoint:lower():match "^https?://[^/?#]" then
    error(where .. ": endpoint must be an http:// or https:// URL", 3)
  end
  local timeout, problem = value.duration(given.timeout or "1s")
  if not timeout or timeout <= 0 then
    error(("%s: timeout: %s"):format(where, problem or "must be above 0"), 3)
  end
  check_static(where, http.static_headers or {})
  check_transforms(where, http.status_to_code_transforms or {})
  return {
    where = where,
    endpoint = endpoint,
    timeout = timeout / 1000,
    binary = given.binary_encoding,
    meta = given.include_connection_meta,
    headers = header_names(where, "http_headers", given.http_headers),
    emulated = header_names(where, "emulated_headers", given.emulated_headers),
    static = http.static_headers or {},
    transforms = http.status_to_code_transforms or {},
  }
end

-- --- one call ------------------------------------------------------------------------------------

local function failed(options, cause)
  perigee.log.warn("a proxied call failed", {
    event = options.where, endpoint = options.endpoint:gsub("[?#].*", ""), cause = cause,
  })
  return FAILED
end

-- Later ones win: what stands in the configuration, what the client's connect command had, what
-- its request had.
local function headers_for(options, client)
  local headers = {}
  for name, text in pairs(options.static) do
    headers[name:lower()] = text
  end
  local function add(names, sent)
    for _, name in ipairs(names) do
      headers[name] = sent[name] or headers[name]
    end
  end
  if #options.emulated > 0 then
    add(options.emulated, client.emulated_headers)
  end
  if #options.headers > 0 then
    add(options.headers, client.headers)
  end
  headers["content-type"] = "application/json"
  return headers
end

local function by_status(options, status)
  for _, transform in ipairs(options.transforms) do
    if transform.status_code == status then
      return to_answer { error = transform.to_error, disconnect = transform.to_disconnect }
    end
  end
  return failed(options, "the backend answered with status " .. status)
end

-- Asks the backend. First the result or nil, then a decided answer (an error, a disconnect, FAILED).
local function ask(options, client, request)
  local answer, problem = perigee.http.request {
    method = "POST", url = options.endpoint, timeout = options.timeout,
    headers = headers_for(options, client), body = perigee.json.encode(request),
  }
  if not answer then
    return nil, failed(options, problem)
  elseif answer.status ~= 200 then
    return nil, by_status(options, answer.status)
  end
  local content = perigee.json.decode(answer.body, KEPT)
  if type(content) ~= "table" or not answer.body:match "^%s*{" then
    return nil, failed(options, "the backend's answer is not a JSON object")
  end
  local result = not_null(content.result)
  if result ~= nil and type(result) ~= "table" then
    return nil, failed(options, "result is not an object")
  end
  return result, to_answer(content)
end

local function request_of(options, client)
  return {
    client = client.id,
    transport = client.transport,
    protocol = client.protocol,
    encoding = options.binary and "binary" or "json",
  }
end

local function request_of_user(options, client)
  local request = request_of(options, client)
  request.user = client.user
  request.meta = options.meta and client.meta or nil
  return request
end

-- False: the client sent bytes that JSON cannot carry.
local function add_data(options, request, raw)
  if not raw then
    return true
  elseif options.binary then
    request.b64data = perigee.base64.encode(raw)
  else
    request.data = perigee.json.raw(raw)
  end
  return request.data or request.b64data
end

-- The raw field of a result, or its base64 twin, which wins unless plain_first. Bytes are fine for
-- data of a Protobuf client; anything else must be JSON. Nil and false: it is neither.
local function payload(result, name, bytes_too, plain_first)
  local encoded = not_null(result["b64" .. name])
  if not encoded or encoded == "" or (plain_first and result[name]) then
    return result[name], true
  end
  local bytes = type(encoded) == "string" and perigee.base64.decode(encoded)
  local content = bytes and (perigee.json.raw(bytes) or (bytes_too and bytes))
  return content or nil, content and true or false
end

local function decide(options, client, request, raw, build)
  if not add_data(options, request, raw) then
    return failed(options, "the client's data is not JSON; set binary_encoding")
  end
  local result, decided = ask(options, client, request)
  if decided then
    return decided
  end
  return build(result)
end

local function fields(options, result, list, bytes_too, plain_first)
  local out = {}
  for _, name in ipairs(list) do
    local ok
    out[name], ok = payload(result, name, bytes_too and name == "data", plain_first)
    if not ok then
      return nil, failed(options, ("b64%s is neither base64 of JSON nor wanted as bytes"):format(name))
    end
  end
  return out
end

local function override_of(result)
  local asked, override = not_null(result.override), {}
  for _, name in ipairs(type(asked) == "table" and OVERRIDES or {}) do
    local switch = not_null(asked[name])
    if type(switch) == "table" then
      switch = switch.value == true -- without a value it is off, as in Protobuf
    end
    override[name] = switch
  end
  return next(override) and override or nil
end

local function is_protobuf(client)
  return client.protocol == "protobuf"
end

-- A failed call is error 100 to the client, as any failure inside is.
local function hook(build)
  return function(...)
    local answer = build(...)
    if answer == FAILED then
      return perigee.error(100, "internal server error", true)
    end
    return answer
  end
end

-- --- the events ----------------------------------------------------------------------------------

local function subs_of(options, result)
  local subs = {}
  for channel, sub in pairs(not_null(result.subs) or {}) do
    local out, why = fields(options, sub, { "info", "data" })
    if not out then
      return nil, why
    end
    out.override = override_of(sub)
    subs[channel] = out
  end
  return next(subs) and subs or nil
end

---Asked when a client connects without a token.
function proxy.connect(given_options)
  local options = read_options("perigee.proxy.connect", given_options)
  return hook(function(ctx)
    if ctx.token then
      return nil -- it decides alone
    end
    local request = request_of(options, ctx)
    request.name, request.version = ctx.name, ctx.version
    request.channels = #ctx.channels > 0 and ctx.channels or nil
    return decide(options, ctx, request, ctx.raw, function(result)
      if not result then
        return nil -- no credentials
      end
      local out, why = fields(options, result, { "info", "data" }, is_protobuf(ctx))
      local subs, why_not = subs_of(options, result)
      if why or why_not then
        return why or why_not
      end
      out.user = not_null(result.user) or ""
      out.expire_at, out.meta = not_null(result.expire_at), result.meta
      out.channels, out.subs = not_null(result.channels), subs
      return out
    end)
  end)
end

-- Both kinds of expiry. nothing_is_forever: without a time it never expires again.
local function renewal(options, client, request, nothing_is_forever)
  local result, decided = ask(options, client, request)
  if decided == FAILED then
    return { expire_at = math.floor(perigee.now()) + RETRY_SECONDS }
  elseif decided or not result or result.expired == true then
    return { expired = true }
  end
  local out = fields(options, result, { "info" })
  local expire_at = not_null(result.expire_at) or 0
  if not out or (expire_at <= 0 and not nothing_is_forever) then
    return { expired = true }
  end
  out.expire_at = math.max(expire_at, 0)
  return out, result
end

---Asked when a connection has expired.
function proxy.refresh(given_options)
  local options = read_options("perigee.proxy.refresh", given_options)
  return function(client)
    local out, result = renewal(options, client, request_of_user(options, client), false)
    out.meta = result and result.meta
    return out
  end
end

---Asked when a client subscribes without a token to a channel that does not name its users.
function proxy.subscribe(given_options)
  local options = read_options("perigee.proxy.subscribe", given_options)
  return hook(function(client, req)
    if req.token or req.user_limited then
      return nil
    end
    local request = request_of_user(options, client)
    request.channel = req.channel
    return decide(options, client, request, req.raw, function(result)
      result = result or {}
      local out, why = fields(options, result, { "info", "data" }, is_protobuf(client))
      if why then
        return why
      end
      out.expire_at, out.override = not_null(result.expire_at), override_of(result)
      return out
    end)
  end)
end

---Asked when a client publishes.
function proxy.publish(given_options)
  local options = read_options("perigee.proxy.publish", given_options)
  return hook(function(client, req)
    local request = request_of_user(options, client)
    request.channel = req.channel
    return decide(options, client, request, req.raw, function(result)
      result = result or {}
      local out, why = fields(options, result, { "data" }, is_protobuf(client), true)
      if why then
        return why
      end
      for _, name in ipairs { "skip_history", "tags", "idempotency_key", "delta", "version", "version_epoch" } do
        out[name] = not_null(result[name])
      end
      return out
    end)
  end)
end

---Asked when a subscription has expired.
function proxy.sub_refresh(given_options)
  local options = read_options("perigee.proxy.sub_refresh", given_options)
  return function(client, req)
    local request = request_of_user(options, client)
    request.channel = req.channel
    return (renewal(options, client, request, true))
  end
end

---Asked for every RPC that has no function of its own in `rpc`.
function proxy.rpc(given_options)
  local options = read_options("perigee.proxy.rpc", given_options)
  return hook(function(client, req)
    local request = request_of_user(options, client)
    request.method = req.method
    return decide(options, client, request, req.raw, function(result)
      local out, why = fields(options, result or {}, { "data" }, is_protobuf(client))
      return why or out.data
    end)
  end)
end

---Binds everything to the module of this Lua state.
---@param module table
---@return table<string, fun(options: string|perigee.ProxyOptions): function>
function M.new(module)
  perigee = module
  return proxy
end

return M
