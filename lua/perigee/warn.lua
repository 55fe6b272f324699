-- What is allowed, but dangerous or without any effect: a warning names it and the option to look
-- at, and everything goes on. What cannot be meant at all is check.lua's.

local schema = require "perigee.schema"

local M = {}

local API_KEY_BYTES, TOKEN_KEY_BYTES = 16, 32 -- shorter ones can be guessed or tried

---@param c perigee.CheckRequest
local function warn(c, key, message)
  c.warning(c.assigned[key], key, message)
end

-- --- the server -----------------------------------------------------------------------------------

local INSECURE = {
  ["client.insecure"] = "everybody may do everything; for development only",
  ["client.insecure_skip_token_signature_verify"] = "whoever writes a token is believed; for development only",
  ["http_api.insecure"] = "everybody may use the server API; for development only",
  ["admin.insecure"] = "everybody may use the web interface; for development only",
}

local function insecure_modes(c)
  for key, message in pairs(INSECURE) do
    if c.values[key] then
      warn(c, key, message)
    end
  end
  for _, prefix in ipairs { "client.token.", "client.subscription_token." } do
    if c.values[prefix .. "insecure_skip_jwks_endpoint_safety_check"] then
      warn(c, prefix .. "insecure_skip_jwks_endpoint_safety_check",
        "whoever sends a token may choose where its key is fetched from")
    end
  end
end

local function origins(c)
  local list = c.values["client.allowed_origins"]
  if c.values["websocket.disabled"] then
    return
  elseif #list == 0 then
    warn(c, "client.allowed_origins", "is empty: no browser can connect")
  end
  for _, origin in ipairs(list) do
    if origin == "*" then
      warn(c, "client.allowed_origins", "any web page may connect as whoever visits it")
    end
  end
end

local KEYS = { "hmac_secret_key", "rsa_public_key", "ecdsa_public_key", "jwks_public_endpoint" }

local function has_key(c, prefix)
  for _, name in ipairs(KEYS) do
    if c.values[prefix .. name] ~= "" then
      return true
    end
  end
  return false
end

local function tokens(c)
  local v = c.values
  if not (has_key(c, "client.token.") or v["client.insecure"] or v["client.user_id_http_header"] ~= ""
    or v["client.insecure_skip_token_signature_verify"] or v["client.allow_anonymous_connect_without_token"]
    or c.hooks[false] and c.hooks[false].connect) then
    warn(c, "client.token.hmac_secret_key",
      "no key of client.token is set, and neither anonymous clients nor hooks.connect: nobody can connect")
  end
  if v["client.subscription_token.enabled"] and not has_key(c, "client.subscription_token.") then
    warn(c, "client.subscription_token.hmac_secret_key",
      "no key of client.subscription_token is set: every subscription token is refused")
  end
  for _, prefix in ipairs { "client.token.", "client.subscription_token." } do
    for _, name in ipairs { "hmac_secret_key", "hmac_previous_secret_key" } do
      local bytes = #v[prefix .. name]
      if bytes > 0 and bytes < TOKEN_KEY_BYTES then
        warn(c, prefix .. name, ("has %d bytes; with less than %d it can be found by trying"):format(bytes,
          TOKEN_KEY_BYTES))
      end
    end
    for i = 1, 3 do
      if v[prefix .. "jwks_public_endpoint"] ~= "" and v[prefix .. KEYS[i]] ~= "" then
        warn(c, prefix .. KEYS[i], ("is ignored: the keys come from %sjwks_public_endpoint"):format(prefix))
      end
    end
  end
end

local function api(c)
  local key = c.values["http_api.key"]
  if c.values["http_api.disabled"] or c.values["http_api.insecure"] then
    return
  elseif key == "" then
    warn(c, "http_api.key", "is not set: every request to the server API is refused")
  elseif #key < API_KEY_BYTES then
    warn(c, "http_api.key", ("has %d bytes; with less than %d it can be found by trying"):format(#key, API_KEY_BYTES))
  end
end

local TRANSPORTS = { "sse", "http_stream", "sockjs", "uni_websocket", "uni_sse", "uni_http_stream" }

local function doors(c)
  local open = not c.values["websocket.disabled"]
  for _, name in ipairs(TRANSPORTS) do
    open = open or c.values[name .. ".enabled"]
  end
  if not open then
    warn(c, "websocket.disabled", "no transport is left: nobody can connect")
  end
  if c.values["client.channel_limit"] == 0 then
    warn(c, "client.channel_limit", "with 0 nobody can subscribe; -1 is no limit")
  end
  if c.values["client.user_id_http_header"] ~= "" and c.values["client.allow_anonymous_connect_without_token"] then
    warn(c, "client.user_id_http_header",
      "has no effect: client.allow_anonymous_connect_without_token connects whoever brings no token")
  end
end

-- --- one namespace ----------------------------------------------------------------------------------

---@class perigee.NamespaceCheck
---@field options table<string, any>
---@field hooks table<string, true>
---@field has_history boolean
---@field says fun(option: string, message: string)   about an option that was given

local function lonely_flags(n)
  local o = n.options
  for _, action in ipairs { "subscribe", "publish", "presence", "history" } do
    local for_client, for_subscriber = "allow_" .. action .. "_for_client", "allow_" .. action .. "_for_subscriber"
    if o["allow_" .. action .. "_for_anonymous"] and not o[for_client] and not o[for_subscriber] then
      n.says("allow_" .. action .. "_for_anonymous", "has no effect without " .. for_client
        .. (action == "subscribe" and "" or " or " .. for_subscriber))
    end
  end
end

local function presence(n)
  local o = n.options
  local readable = o.allow_presence_for_client or o.allow_presence_for_subscriber
  for _, name in ipairs { "allow_presence_for_client", "allow_presence_for_subscriber" } do
    if o[name] and not o.presence then
      n.says(name, "has no effect without presence = true")
    end
  end
  if n.hooks.presence and not o.presence then
    n.says("hooks.presence", "is never called without presence = true")
  end
  if o.join_leave and not o.force_push_join_leave and not readable then
    n.says("join_leave", "reaches nobody: set force_push_join_leave, or allow_presence_for_subscriber for those who ask")
  end
end

local NEED_HISTORY = { "allow_history_for_client", "allow_history_for_subscriber", "allow_recovery",
  "allow_positioning", "force_positioning", "delta_publish" }

local function history(n)
  local o = n.options
  if not n.has_history then
    for _, name in ipairs(NEED_HISTORY) do
      if o[name] then
        n.says(name, "has no effect without history_size and history_ttl")
      end
    end
    if #o.allowed_delta_types > 0 then
      n.says("allowed_delta_types", "has no effect without history_size and history_ttl")
    end
    if n.hooks.history then
      n.says("hooks.history", "is never called without history_size and history_ttl")
    end
  elseif o.delta_publish and #o.allowed_delta_types == 0 then
    n.says("delta_publish", 'has no effect without allowed_delta_types = { "fossil" }')
  end
end

local function namespace(c, name)
  local everybodys, own = c.hooks[false] or {}, c.hooks[name] or {}
  if everybodys.channel_options or own.channel_options then
    return -- the other half may come for a channel
  end
  local given = c.namespaces[name]
  local options = c.complete(schema.channel_options, given)
  local prefix = name == "" and "channel.without_namespace." or "channel.namespaces." .. name .. "."
  local n = {
    options = options,
    hooks = own,
    has_history = options.history_size > 0 and options.history_ttl > 0,
    says = function(option, message)
      c.warning(given[option], prefix .. option, message)
    end,
  }
  lonely_flags(n)
  presence(n)
  history(n)
  if options.allow_user_limited_channels and c.values["channel.user_boundary"] == "" then
    n.says("allow_user_limited_channels", "has no effect while channel.user_boundary is empty")
  end
end

---@param c perigee.CheckRequest
function M.run(c)
  insecure_modes(c)
  origins(c)
  tokens(c)
  api(c)
  doors(c)
  for _, name in ipairs(c.names) do
    namespace(c, name)
  end
end

return M
