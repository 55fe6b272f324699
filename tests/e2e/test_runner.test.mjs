import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { TOP, run, scratch } from "./lib/server.mjs";

const CONFIG = `local perigee = require "perigee"
local counter = require "counter"
local hits = perigee.dict "hits"
return {
  client = { rate_limit = { user_command = { rpc = { buckets = { { interval = "1m", rate = 5 } } } } },
    ping_interval = "60s", token = { hmac_secret_key = os.getenv "NO_SUCH_VARIABLE", issuer = "me", audience = "you" } },
  hooks = {
    start = function() counter.started = counter.started + 1 end,
    connect = function(ctx) if ctx.headers["x-bad"] then return perigee.disconnect_code(4001, "bad header") end end,
    subscribe = function(client, req)
      counter.asked = counter.asked + 1
      if req.channel == "slow" then perigee.sleep(20) end
      if req.channel == "never" then perigee.sleep(40) end
      if req.channel == "loop" then while true do end end
      return { info = { asked = counter.asked } }
    end,
  },
  channel = { without_namespace = { presence = true, allow_presence_for_subscriber = true } },
  rpc = { time = function() return { now = perigee.now(), os = os.time(), day = os.date "!%F" } end,
    hit = function(client) return hits:incr(client.user, 1, "10s") end },
}
`;

const PASSING = `
local t = require "perigee.test"
local counter = require "counter"

for i = 1, 2 do
  t.test("a fresh server each time " .. i, function()
    t.equal(counter, { started = 1, asked = 0 })
    local ann = t.client { user = "ann", info = { name = "Ann" }, ip = "10.0.0.1" }
    t.equal(t.allowed(ann:subscribe "x").error, nil)
    t.equal(counter.asked, 1)
    local member = ann:presence("x").presence[ann.id]
    t.equal(member, { user = "ann", client = ann.id, conn_info = { name = "Ann" }, chan_info = { asked = 1 } })
  end)
end
t.test("a hook that sleeps moves the clock on", function()
  local ann, before = t.client { user = "ann" }, t.now()
  t.allowed(ann:subscribe "slow")
  t.equal(t.now() - before, 20.0)
end)
for i = 1, 2 do
  t.test("a dict is there, follows the clock, and is fresh for each test " .. i, function()
    local ann = t.client { user = "ann" }
    t.equal({ ann:rpc("hit").data, ann:rpc("hit").data }, { 1, 2 })
    t.advance "11s"
    t.equal(ann:rpc("hit").data, 1)
  end)
end
t.test("what a user may send is limited over all connections", function()
  for _ = 1, 5 do
    t.allowed(t.client { user = "ann" }:rpc "time")
  end
  t.denied(t.client { user = "ann" }:rpc "time", 111)
  t.allowed(t.client { user = "bob" }:rpc "time")
end)
t.test("hooks have their time limit", function()
  t.denied(t.client { user = "ann" }:subscribe "loop", 100)
  t.matches(t.logs()[1], { level = "error", message = "Lua failed" })
end)
t.test("the clock is the same everywhere", function()
  local now = t.client { user = "ann" }:rpc("time").data
  t.equal(now, { now = 1767225600, os = 1767225600, day = "2026-01-01" })
  t.advance "1d"
  t.equal(t.client { user = "ann" }:rpc("time").data.day, "2026-01-02")
end)
t.test("connections end as the server says", function()
  t.denied(t.connect { user = "ann", headers = { ["x-bad"] = "1" } }, 4001)
  local ann = t.client { user = "ann" }
  t.api("disconnect", { user = "ann" })
  t.equal(ann:pushes(), {})
  t.equal(ann.closed, { code = 3503, reason = "force disconnect" })
end)
t.test("a day with pings", function()
  local ann = t.client { user = "ann" }
  t.advance "24h"
  t.equal(ann.closed, nil)
  t.allowed(ann:subscribe "x")
end)
`;

// what a failing test is told
const FAILING = `local t = require "perigee.test"
t.test("equal", function()
  t.equal({ a = { 1, 2 } }, { a = { 1, 3 } })
end)
t.test("denied", function() t.denied(t.client { user = "ann" }:subscribe "x", 103) end)
t.test("allowed", function() t.allowed(t.client { user = "ann" }:publish("x", {})) end)
t.test("raises", function() local x = nil return x.y end)
t.test("waits", function() t.client { user = "ann" }:subscribe "never" end)
t.test("network", function() t.equal(select(2, require "perigee".http.get "http://localhost/"), nil) end)
t.test("passes", function() end)
t.test("nested", function() t.test("inner", function() end) end)
`;
const FAILURES = [
  /not ok 1 - equal\n# {3}bad_test\.lua:3: at \.a\[2\]: expected 3, got 2\n# {5}expected: \{ a = \{ 1, 3 \} \}\n# {5}got: {6}\{ a = \{ 1, 2 \} \}\n/,
  /not ok 2 - denied\n# {3}bad_test\.lua:5: expected to be denied with 103, but allowed: \{\}\n/,
  /not ok 3 - allowed\n# {3}bad_test\.lua:6: expected to be allowed, but denied with .*code = 103.*\n# {3}log: info refused .*option=channel\.without_namespace\.allow_publish_for_client/,
  /not ok 4 - raises\n# {3}bad_test\.lua:7: attempt to index a nil value/,
  /not ok 5 - waits\n# {3}bad_test\.lua:8: subscribe got no answer within 30 seconds of the clock\n/,
  /not ok 6 - network\n# {3}bad_test\.lua:9: expected nil, got "the test has no answer for http:\/\/localhost\/; see t\.http"\n/,
  /ok 7 - passes\nnot ok 8 - nested\n# {3}bad_test\.lua:11: t\.test may not stand inside of a test: nobody would run it\n1\.\.8\n# 1 passed, 7 failed\n$/,
];

test("perigee test", async (t) => {
  const folder = scratch(t);
  const write = (name, text) => writeFileSync(join(folder, name), text);
  const perigee = (...args) => run(["test", ...args], { cwd: folder });
  write("config.lua", CONFIG);
  write("counter.lua", "return { started = 0, asked = 0 }");
  write("good_test.lua", PASSING);
  write("bad_test.lua", FAILING);
  write("broken_test.lua", "local t = require 'perigee.test'\nt.test(");
  write("empty_test.lua", "local t = require 'perigee.test'");

  await t.test("the example", async () => {
    const { stdout, code } = await run(["test", "rules_test.lua"], { cwd: join(TOP, "examples/testing") });
    assert.equal(code, 0, stdout);
    assert.match(stdout, /\n1\.\.11\n# 11 passed, 0 failed\n$/);
  });
  await t.test("tests that pass: exit 0", async () => {
    const { stdout, code } = await perigee("good_test.lua");
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^(ok \d+ - .*\n){10}1\.\.10\n# 10 passed, 0 failed\n$/);
  });
  await t.test("failures name line and values: exit 1", async () => {
    const { stdout, code } = await perigee("bad_test.lua");
    assert.equal(code, 1);
    for (const pattern of FAILURES) assert.match(stdout, pattern);
  });
  await t.test("several files, and a filter", async () => {
    const both = await perigee("good_test.lua", "bad_test.lua", "-f", "pass");
    assert.equal(both.stdout, "ok 1 - passes\n1..1\n# 1 passed, 0 failed\n");
    assert.equal(both.code, 0);
  });
  await t.test("a file that does not load, and one without tests: exit 1", async () => {
    const broken = await perigee("broken_test.lua", "bad_test.lua", "-f", "passes");
    assert.match(broken.stdout, /^not ok 1 - broken_test\.lua loads\n# {3}broken_test\.lua:2: .*\nok 2 - passes\n1\.\.2\n/);
    assert.equal(broken.code, 1);
    assert.equal((await perigee("empty_test.lua")).code, 1);
  });
  await t.test("wrong usage and wrong configurations: exit 2", async () => {
    for (const args of [[], ["nosuch_test.lua"], ["--nosuch", "good_test.lua"], ["good_test.lua", "-c", "nosuch.lua"],
      ["good_test.lua", "--set", "http_server.prot=1"]]) {
      const answer = await perigee(...args);
      assert.equal(answer.code, 2, args.join(" "));
      assert.ok(answer.stderr.length > 0);
    }
  });
});
