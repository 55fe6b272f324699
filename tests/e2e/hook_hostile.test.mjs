// tests/hostile_scripts.txt in a running server: whatever a script tries, its own command ends with
// error 100, and the next command, the other clients and the counters go on.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { TOP, startServer } from "./lib/server.mjs";
import { SLOW, sleep } from "./lib/wait.mjs";

const SCRIPTS = readFileSync(join(TOP, "tests/hostile_scripts.txt"), "utf8")
  .split("\n")
  .filter((line) => /^[a-z]/.test(line))
  .map((line) => /^(\S+)\s+(.*)$/.exec(line).slice(1))
  .filter((_, n) => !SLOW || n % 2 === 0); // a sanitizer runs all of them in the unit test

const counter = (text, name) => Number(new RegExp(`^perigee_${name} (\\d+)$`, "m").exec(text)?.[1]);

test("hostile scripts", async (t) => {
  assert.ok(SCRIPTS.length >= 25);
  const methods = SCRIPTS.map(([, body], n) => `s${n} = function() ${body} end,`).join("\n");
  const server = await startServer(t, {
    config: {
      prometheus: { enabled: true },
      lua: { timeout: SLOW ? "100ms" : "20ms" },
      rpc: lua(`{ ${methods}\ngood = function(_, data) return { data + 1, perigee.sha256("abc"):sub(1, 4) } end }`),
    },
  });
  const metrics = async () => (await server.request("GET", "/metrics")).text;
  // Over several workers: on each of them some connection runs the scripts, and some looks on.
  const victims = await Promise.all(Array.from({ length: 6 }, (_, n) => server.connect(`victim${n}`)));
  const witness = await server.connect("witness");
  await witness.subscribe("news");

  let late = 0;
  for (const [n, [kind, body]] of SCRIPTS.entries()) {
    const client = victims[n % victims.length];
    const error = await client.refused("rpc", { method: `s${n}`, data: {} }, 100);
    assert.deepEqual(error, { code: 100, message: "internal server error", temporary: true }, body);
    assert.deepEqual((await client.call("rpc", { method: "good", data: n })).data, [n + 1, "ba78"], `after ${body}`);
    await server.publish("news", n);
    assert.equal((await witness.push("pub", "news")).data, n);
    late += kind === "time";
  }

  const text = await metrics();
  assert.equal(counter(text, "lua_errors_total"), SCRIPTS.length);
  assert.ok(counter(text, "lua_timeouts_total") >= late, text);
  assert.equal(counter(text, "lua_coroutines"), 0);
  await server.logged(/"message":"Lua failed","in":"rpc","error":"[^"]*stack traceback/);
  for (const client of [...victims, witness]) await client.assertAlive();
});

test("who waits in a hook delays nobody", async (t) => {
  const server = await startServer(t, { config: { rpc: lua("{ nap = function() perigee.sleep(1) return 'slept' end }") } });
  const clients = await Promise.all(Array.from({ length: 8 }, (_, n) => server.connect(`c${n}`)));
  const sleepers = await Promise.all(Array.from({ length: 24 }, (_, n) => server.connect(`s${n}`)));

  /** Round trips of all clients while `during` runs: the one that 99 of 100 do not exceed. */
  const p99 = async (during) => {
    const times = [];
    let done = false;
    const rounds = clients.map(async (client) => {
      while (!done) {
        const begun = performance.now();
        await client.assertAlive();
        times.push(performance.now() - begun);
        await sleep(5);
      }
    });
    await during();
    done = true;
    await Promise.all(rounds);
    assert.ok(times.length >= 3 * clients.length, `only ${times.length} round trips`);
    return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)];
  };

  const quiet = await p99(() => sleep(1000));
  const napping = await p99(async () => {
    const begun = performance.now();
    const answers = await Promise.all(sleepers.map((client) => client.call("rpc", { method: "nap", data: {} })));
    assert.ok(answers.every(({ data }) => data === "slept"));
    const took = performance.now() - begun;
    assert.ok(took > 990 && took < (SLOW ? 20000 : 5000), `24 naps of a second took ${took} ms`); // side by side
  });
  // Were one of them to block a worker, those on it would wait a second, and for the next one, too.
  assert.ok(napping < quiet + 500, `p99 ${quiet.toFixed(1)} ms, with naps ${napping.toFixed(1)} ms`);
});

test("memory that ran out is there again for the next call", async (t) => {
  const server = await startServer(t, {
    config: {
      workers: 1,
      prometheus: { enabled: true },
      lua: { memory_limit: "16M", timeout: "2s" },
      rpc: {
        bomb: lua("function() return (('x'):rep(1000):gsub('.', ('y'):rep(100000))) end"),
        fill: lua("function() local t = {} for i = 1, 50000 do t[i] = { i } end return #t end"),
      },
    },
  });
  const client = await server.connect("ann");
  for (let n = 0; n < 5; n++) {
    await client.refused("rpc", { method: "bomb" }, 100);
    assert.equal((await client.call("rpc", { method: "fill" })).data, 50000);
  }
});
