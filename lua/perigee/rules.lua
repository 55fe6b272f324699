-- Who may do what in a channel, from the options of its namespace alone. Tokens and hooks come
-- before these rules and are not seen here. C asks once per namespace for every kind of asker and
-- keeps the answers as bits, so nothing here is on the way of a command.

---@class perigee.Who
---@field anonymous boolean     the user id is empty
---@field subscribed boolean    this connection is in the channel
---@field insecure boolean      client.insecure is on
---@field private boolean       the channel has the private prefix
---@field user_limited boolean  the channel names its users, and the namespace looks at them
---@field user_listed boolean   the user is one of them

local M = {}

---The order of the bits in `enum who` of core/settings.h.
M.BITS = { "anonymous", "subscribed", "insecure", "private", "user_limited", "user_listed" }
---The order of `enum action`.
M.ACTIONS = { "subscribe", "publish", "presence", "history" }

---@param bits integer
---@return perigee.Who
function M.who(bits)
  local who = {}
  for i, name in ipairs(M.BITS) do
    who[name] = bits & (1 << (i - 1)) ~= 0
  end
  return who
end

-- A channel option by its short name; "client.insecure" and the like stay as they are.
local function subscribe(options, who)
  if who.private then
    return false, "channel.private_prefix", "a private channel needs a subscription token"
  elseif who.user_limited and who.user_listed then
    return true, "allow_user_limited_channels", "the user is in the channel's list"
  end
  local open = options.allow_subscribe_for_client and not who.user_limited
  if open and (not who.anonymous or options.allow_subscribe_for_anonymous) then
    return true, who.anonymous and "allow_subscribe_for_anonymous" or "allow_subscribe_for_client",
      "clients may subscribe"
  elseif who.insecure then
    return true, "client.insecure", "insecure mode"
  elseif who.user_limited then
    return false, "allow_user_limited_channels", "the user is not in the channel's list"
  elseif open then
    return false, "allow_subscribe_for_anonymous", "anonymous users may not subscribe"
  end
  return false, "allow_subscribe_for_client", "clients may not subscribe without a token"
end

-- publish, presence and history differ in the names of their options only.
local function access(action, doing)
  local for_client = "allow_" .. action .. "_for_client"
  local for_subscriber = "allow_" .. action .. "_for_subscriber"
  local for_anonymous = "allow_" .. action .. "_for_anonymous"

  return function(options, who)
    local known = not who.anonymous or options[for_anonymous]
    local by = options[for_client] and for_client
      or options[for_subscriber] and who.subscribed and for_subscriber
    if by and known then
      return true, who.anonymous and for_anonymous or by, "clients may " .. doing
    elseif who.insecure then
      return true, "client.insecure", "insecure mode"
    elseif by then
      return false, for_anonymous, "anonymous users may not " .. doing
    elseif options[for_subscriber] then
      return false, for_client, "only subscribers may " .. doing
    end
    return false, for_client, "clients may not " .. doing
  end
end

local decisions = {
  subscribe = subscribe,
  publish = access("publish", "publish"),
  presence = access("presence", "ask for presence"),
  history = access("history", "ask for history"),
}

---What this asker may do.
---@param options table<string, any>  the options of the channel's namespace
---@param who perigee.Who
---@return { subscribe: boolean, publish: boolean, presence: boolean, history: boolean }
function M.decide(options, who)
  local decision = {}
  for action, rule in pairs(decisions) do
    decision[action] = (rule(options, who)) and true or false
  end
  return decision
end

---Why: the option that allowed it, or would allow it, and the cause in words.
---@param options table<string, any>
---@param who perigee.Who
---@param action "subscribe"|"publish"|"presence"|"history"
---@return boolean allowed
---@return string option  a channel option, or a full path such as "client.insecure"
---@return string cause
function M.explain(options, who, action)
  local allowed, option, cause = decisions[action](options, who)
  return allowed and true or false, option, cause
end

return M
