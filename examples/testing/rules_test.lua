local t = require "perigee.test"
local perigee = require "perigee"
local rules = require "rules"

-- The backend of config.lua, for every test: it knows ann and bob.
local function backend(request)
  local known = request.url:match "/may/ann/" or request.url:match "/may/bob/"
  return { status = known and 200 or 403 }
end
t.http("http://127.0.0.1:9000/*", backend)

-- Clients that are in the room; what they were told so far is read.
local function in_room(...)
  local clients = {}
  for i, user in ipairs { ... } do
    clients[i] = t.client { user = user }
    t.allowed(clients[i]:subscribe "room:1")
  end
  for _, client in ipairs(clients) do
    client:pushes()
  end
  return table.unpack(clients)
end

t.test("plain functions need no server", function()
  t.equal(rules.shorten("hello", 5), "hello")
  t.equal(rules.shorten("hello", 3), "he…")
  t.truthy(rules.is_polite "good morning")
  t.falsy(rules.is_polite "Darn it")
end)

t.test("the backend decides who enters a room", function()
  t.allowed(t.client { user = "ann" }:subscribe "room:1")
  t.denied(t.client { user = "eve" }:subscribe "room:1", 103)
  t.equal(t.requests()[1].url, "http://127.0.0.1:9000/may/ann/room:1")
end)

t.test("a backend that is away: try again", function()
  t.http("http://127.0.0.1:9000/*", nil, "connection refused")
  local reply = t.denied(t.client { user = "ann" }:subscribe "room:1", 100)
  t.equal(reply.error.temporary, true)
  local lines = t.logs()
  t.matches(lines[1], { level = "error", message = "the backend does not answer", problem = "connection refused" })
end)

t.test("a slow backend: others are served meanwhile", function()
  t.http("http://127.0.0.1:9000/*", { delay = 3 })
  local before = t.now()
  t.allowed(t.client { user = "ann" }:subscribe "room:1")
  t.equal(t.now() - before, 3.0)
end)

t.test("only who is in the room may write, and politely", function()
  local ann, bob = in_room("ann", "bob")
  t.allowed(ann:publish("room:1", { text = "good morning" }))
  t.denied(ann:publish("room:1", { text = "darn" }), 400)
  t.equal(bob:messages "room:1", { { text = "good morning" } })
  t.allowed(ann:publish("room:1", { text = ("x"):rep(200) }))
  t.equal(utf8.len(bob:messages()[1].text), 100)
end)

t.test("everybody sees who comes and goes", function()
  local ann = in_room "ann"
  local bob = in_room "bob"
  t.matches(ann:pushes "room:1", { { type = "join", info = { user = "bob" } } })
  t.equal(t.api("count", { channel = "room:1" }), { members = 2 })
  bob:disconnect()
  t.matches(ann:pushes "room:1", { { type = "leave", info = { user = "bob" } } })
  t.equal(t.api("count", { channel = "room:1" }), { members = 1 })
end)

t.test("after a break nothing is missing", function()
  local ann, bob = in_room("ann", "bob")
  ann:publish("room:1", { text = "one" })
  bob:disconnect()
  ann:publish("room:1", { text = "two" })
  ann:publish("room:1", { text = "three" })
  bob = bob:reconnect()
  t.matches(bob:subscribe("room:1", { recover = true }), { recovered = true })
  t.equal(bob:messages(), { { text = "two" }, { text = "three" } })
  t.equal(#ann:history("room:1").publications, 3)
end)

t.test("after ten minutes one has to ask again", function()
  local ann = in_room "ann"
  t.advance "11m"
  t.matches(ann:pushes "room:1", { { type = "unsubscribe", code = 2501 } })
  t.denied(ann:publish("room:1", { text = "still here?" }), 103)
end)

t.test("timers run when their time has come", function()
  local ann = t.client { user = "ann" }
  t.allowed(ann:rpc("remind", { seconds = 60, text = "tea" }))
  t.advance(59)
  t.equal(ann:pushes(), {})
  t.advance(1)
  t.equal(ann:pushes(), { { type = "message", data = { reminder = "tea" } } })
end)

t.test("the server API and the perigee module are there", function()
  local ann = in_room "ann"
  t.allowed(t.api("publish", { channel = "room:1", data = { text = "from the API" } }))
  perigee.publish { channel = "room:1", data = { text = "from Lua" } }
  t.equal(ann:messages(), { { text = "from the API" }, { text = "from Lua" } })
end)

t.test("without a token there is no connection", function()
  t.denied(t.connect {}, 3501)
  t.denied(t.connect { token = "nonsense" }, 3500)
  t.denied(t.connect { user = "ann", claims = { exp = math.floor(t.now()) - 1 } }, 109)
end)
