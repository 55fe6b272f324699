-- A client of a test: it speaks the client protocol with a server that has no sockets. Its methods
-- return the reply's result, or { error = { code =, message = } } when the server refused.

local M = {}

local driver, json, fail -- of this Lua state; fail raises with the place of the test's line

local ANSWER_SECONDS = 30 -- of the stopped clock
local KINDS = {
  pub = "publication", join = "join", leave = "leave", unsubscribe = "unsubscribe", subscribe = "subscribe",
  message = "message", refresh = "refresh", disconnect = "disconnect", connect = "connect",
}

---@class perigee.FakeClient
---@field id string          the connection's id
---@field user string
---@field result table       of the connect command
---@field closed { code: integer, reason: string }?  how the server ended it
local Client = {}

-- Moves what the connection was told into replies and pushes.
local function take_push(self, push)
  for name, kind in pairs(KINDS) do
    if push[name] then
      local entry = { type = kind, channel = push.channel }
      for field, value in pairs(push[name]) do
        entry[field] = value
      end
      local position = self.positions[push.channel]
      if name == "pub" and entry.offset and position then
        position.offset = entry.offset
      end
      self.waiting[#self.waiting + 1] = entry
    end
  end
end

local function listen(self)
  for line in (self.connection:hear() or ""):gmatch("[^\n]+") do
    local message = json.decode(line)
    if message.push then
      take_push(self, message.push)
    elseif message.id then
      self.replies[message.id] = message
    end
  end
  local code, reason = self.connection:over()
  if math.type(code) == "integer" then
    self.ended = { code = code, reason = reason }
  end
end

-- Lets the server finish what it does at this time.
local function settle(self)
  driver.advance(0)
  listen(self)
end

local function index(self, key)
  if key ~= "closed" then
    return Client[key]
  end
  settle(self)
  return rawget(self, "ended") or nil
end

-- Gives one command and waits for what comes of it.
local function call(self, method, params)
  if self.connection:over() then
    listen(self)
    local ended = self.ended
    local why = ended and ("the server closed it: %d %s"):format(ended.code, ended.reason)
    fail(("client %q is not connected (%s)"):format(self.user or "", why or "it has left"))
  end
  self.last_id = self.last_id + 1
  local id = self.last_id
  self.connection:say(json.encode { id = id, [method] = params })
  while true do
    listen(self)
    local reply = self.replies[id]
    self.replies[id] = nil
    if reply then
      return reply[method] or { error = reply.error }
    elseif self.ended then
      return { error = { code = self.ended.code, message = self.ended.reason } }
    elseif not driver.wait(ANSWER_SECONDS) then
      fail(("%s got no answer within %d seconds of the clock"):format(method, ANSWER_SECONDS))
    end
  end
end

---@param channel string
---@param options table?  token, data, recover, positioned, join_leave, … as in the protocol
function Client:subscribe(channel, options)
  local params = { channel = channel }
  for name, value in pairs(options or {}) do
    params[name] = value
  end
  local last = self.positions[channel]
  if params.recover and last and not params.epoch and not params.offset then
    params.offset, params.epoch = last.offset, last.epoch
  end
  local result = call(self, "subscribe", params)
  if not result.error then
    self.positions[channel] = { offset = result.offset or 0, epoch = result.epoch }
    for _, publication in ipairs(result.publications or {}) do
      take_push(self, { channel = channel, pub = publication })
    end
  end
  return result
end

function Client:unsubscribe(channel)
  return call(self, "unsubscribe", { channel = channel })
end

function Client:publish(channel, data)
  return call(self, "publish", { channel = channel, data = data })
end

function Client:presence(channel)
  return call(self, "presence", { channel = channel })
end

function Client:presence_stats(channel)
  return call(self, "presence_stats", { channel = channel })
end

---@param channel string
---@param options { limit: integer?, since: table?, reverse: boolean? }?  limit is -1, all, unless given
function Client:history(channel, options)
  options = options or {}
  return call(self, "history", {
    channel = channel, limit = options.limit or -1, since = options.since, reverse = options.reverse,
  })
end

function Client:rpc(method, data)
  return call(self, "rpc", { method = method, data = data })
end

function Client:refresh(token)
  return call(self, "refresh", { token = token })
end

function Client:sub_refresh(channel, token)
  return call(self, "sub_refresh", { channel = channel, token = token })
end

---A message without a reply.
function Client:send(data)
  self.connection:say(json.encode { send = { data = data } })
  settle(self)
end

-- Takes the pushes that fit out of those that wait.
local function take(self, fits)
  settle(self)
  local taken, left = {}, {}
  for _, push in ipairs(self.waiting) do
    table.insert(fits(push) and taken or left, push)
  end
  self.waiting = left
  return taken
end

---The data of the publications that came since the last call, of one channel or of all.
---@param channel string?
---@return any[]
function Client:messages(channel)
  local list = take(self, function(push)
    return push.type == "publication" and (not channel or push.channel == channel)
  end)
  for i, push in ipairs(list) do
    list[i] = push.data
  end
  return list
end

---Everything that was pushed since the last call: { type = "publication" | "join" | …, channel =, … }.
---@param channel string?
---@return table[]
function Client:pushes(channel)
  return take(self, function(push)
    return not channel or push.channel == channel
  end)
end

---Leaves, as when a browser tab is closed.
function Client:disconnect()
  listen(self)
  self.connection:close()
  driver.advance(0)
end

-- A connection that has given its connect command: the client, or the refusal.
local function connect(options, params, known)
  local client = setmetatable({
    connection = driver.client { headers = options.headers, ip = options.ip },
    last_id = 0, replies = {}, waiting = {}, positions = known or {}, options = options, params = params,
    ended = false,
  }, { __index = index })
  if not client.connection then
    return { error = { code = 503, message = "the node takes no more connections" } }
  end
  local result = call(client, "connect", params)
  if result.error then
    return result
  end
  client.id, client.result, client.user = result.client, result, options.user or ""
  for channel, sub in pairs(result.subs or {}) do
    client.positions[channel] = { offset = sub.offset or 0, epoch = sub.epoch }
  end
  return client
end

---Connects again with what it connected with; it knows the positions that it had.
---@return perigee.FakeClient
function Client:reconnect()
  if not self.connection:over() then
    self:disconnect()
  end
  local client = connect(self.options, self.params, self.positions)
  if client.error then
    fail(("client %q could not connect again: %d %s"):format(self.user, client.error.code, client.error.message))
  end
  return client
end

---@param of_driver table  of src/cli/driver.c
---@param of_json table
---@param of_fail fun(text: string)
---@return table  connect
function M.new(of_driver, of_json, of_fail)
  driver, json, fail = of_driver, of_json, of_fail
  return connect
end

return M
