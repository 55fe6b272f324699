import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { userToken } from "./lib/token.mjs";
import { SLOW, sleep } from "./lib/wait.mjs";

// channel: what its subscribe hook does
const FAILURES = {
  raise: 'error("boom of the test")',
  "raise-nil": "error(nil)",
  "raise-table": "error({ code = 103 })",
  index: "return req.no.such.field",
  loop: "while true do end",
  "loop-pcall": "while true do pcall(function() while true do end end) end",
  recursion: "local function f() return 1 + f() end return f()",
  "tail-recursion": "local function f() return f() end return f()",
  "big-string": 'local s = string.rep("x", 2 ^ 31) return { data = s }',
  "grow-string": 'local s = "x" for _ = 1, 40 do s = s .. s end return { data = s }',
  "grow-table": "local t = {} for i = 1, 10 ^ 9 do t[i] = { i } end",
  coroutines: "local t = {} while true do t[#t + 1] = coroutine.create(function() end) coroutine.resume(t[#t]) end",
  "loop-coroutine": "local c = coroutine.wrap(function() while true do end end) c()",
  global: "leaked = 1",
  unknown: "return no_such_global",
  "os-execute": 'os.execute("true") return {}',
  popen: 'io.popen("true") return {}',
  bytecode: "local f = load(string.dump(function() return 1 end)) return f()",
  "returns-string": 'return "yes"',
  "returns-number": "return 1",
  "returns-function": "return function() end",
  "bad-info": "return { info = print }",
  "bad-expire": 'return { expire_at = "soon" }',
  "cyclic-data": "local t = {} t.t = t return { data = t }",
  "bad-channel": 'client:subscribe("x\\xff") return {}',
  "leaves-bad-channel": 'client:unsubscribe("x\\xff") return {}',
  "no-channel": 'client:subscribe("") return {}',
  "string-metatable": 'getmetatable("").__index = nil return {}',
  debug: "debug.sethook() return {}",
};

test("hooks that fail", async (t) => {
  const body = Object.entries(FAILURES)
    .map(([name, code]) => `  ["fail:${name}"] = function(client, req) ${code} end,`)
    .join("\n");
  const server = await startServer(t, {
    config: {
      lua: { timeout: SLOW ? "500ms" : "50ms", memory_limit: "16M" },
      channel: {
        namespaces: {
          fail: {
            allow_subscribe_for_client: true,
            allow_publish_for_client: true,
            hooks: {
              subscribe: lua(`(function()
local failures = {
${body}
}
return function(client, req)
  local failure = failures[req.channel]
  if failure then return failure(client, req) end
end
end)()`),
              publish: lua('function(client, req) error("publish boom") end'),
            },
          },
          ok: { allow_subscribe_for_client: true },
        },
      },
    },
  });
  const witness = await server.connect("witness");
  await witness.subscribe("ok:1");

  for (const name of Object.keys(FAILURES)) {
    await t.test(`${name} is answered 100, and everything goes on`, async () => {
      const client = await server.connect("a");
      const start = Date.now();
      const error = await client.refused("subscribe", { channel: `fail:${name}` }, 100);
      assert.ok(Date.now() - start < (SLOW ? 8000 : 1500), `took ${Date.now() - start} ms`);
      assert.equal(error.message, "internal server error");
      assert.equal(error.temporary, true);
      await client.subscribe("fail:fine");
      await server.publish("ok:1", name);
      assert.equal((await witness.push("pub", "ok:1")).data, name);
      client.destroy();
    });
  }

  await t.test("a publish hook that raises denies", async () => {
    const client = await server.connect("a");
    await client.refused("publish", { channel: "fail:x", data: 1 }, 100);
  });

  await t.test("the log has the message, the place and the channel's hook", async () => {
    await server.logged(/boom of the test/);
    await server.logged(/config\.lua:\d+/);
    await server.logged(/stack traceback|traceback/);
  });

  await t.test("an endless loop of one client delays others at most by its limit", async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => server.connect("b")));
    const looper = await server.connect("c");
    let slowest = 0;
    let done = false;
    const others = clients.map(async (client) => {
      while (!done) {
        const start = Date.now();
        await client.assertAlive();
        slowest = Math.max(slowest, Date.now() - start);
        await sleep(5);
      }
    });
    await looper.refused("subscribe", { channel: "fail:loop" }, 100);
    done = true;
    await Promise.all(others);
    assert.ok(slowest < (SLOW ? 3000 : 1000), `somebody waited ${slowest} ms`);
  });
});

test("a connect hook that raises", async (t) => {
  const server = await startServer(t, { config: { hooks: { connect: lua('function(ctx) error("no entry") end') } } });
  const client = await server.open();
  const error = await client.refused("connect", { token: userToken("a") }, 100);
  assert.equal(error.temporary, true);
});
