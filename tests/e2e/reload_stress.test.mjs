// Many reloads while messages flow, every tenth with a broken file: nobody is disconnected, nothing is
// lost or doubled, what is in force is always one whole generation, and memory does not grow.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { reload } from "./lib/reload.mjs";
import { WORKERS, startServer } from "./lib/server.mjs";
import { SLOW, sleep } from "./lib/wait.mjs";

const RELOADS = SLOW ? 60 : WORKERS === 1 ? 200 : 1000;
const SUBSCRIBERS = 20;

const rssOf = (server) => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${server.child.pid}/status`, "utf8"))[1]);

test(`${RELOADS} reloads under load`, async (t) => {
  const server = await startServer(t);
  await reload(server, 0);
  const subscribers = [];
  for (let n = 0; n < SUBSCRIBERS; n++) {
    const client = await server.connect(`s${n}`);
    await client.subscribe("room:load");
    subscribers.push(client);
  }
  const author = await server.connect("author");
  const reader = await server.connect("reader");
  await reader.subscribe("room:hook");
  let running = true;
  let published = 0;
  let newest = 0; // the generation that is in force, or about to be
  const seen = [];
  const byApi = (async () => {
    while (running) {
      await server.publish("room:load", { n: ++published });
      await sleep(1);
    }
  })();
  const byHook = (async () => {
    while (running) {
      const oldest = newest;
      await author.call("publish", { channel: "room:hook", data: {} });
      seen.push(oldest);
      await sleep(1);
    }
  })();
  let before;
  for (let n = 1; n <= RELOADS; n++) {
    const broken = n % 10 === 0;
    const log = await reload(server, n, { broken });
    assert.match(log, broken ? /not reloaded/ : /"message":"reloaded"/);
    if (!broken) newest = n;
    server.stderr = ""; // a thousand reloads have much to say
    if (n === Math.ceil(RELOADS / 5)) before = rssOf(server);
  }
  const after = rssOf(server);
  running = false;
  await Promise.all([byApi, byHook]);

  for (const client of subscribers) {
    for (let n = 1; n <= published; n++) {
      const pub = await client.push("pub", "room:load");
      assert.deepEqual([pub.data.n, pub.offset], [n, n]);
    }
    assert.equal(client.close, undefined);
  }
  let last = 0;
  for (const oldest of seen) {
    const { by } = (await reader.push("pub", "room:hook")).data;
    assert.ok(by >= oldest && by >= last && (by === 0 || by % 10 !== 0), `generation ${by} after ${last}, ${oldest} was in force`);
    last = by;
  }
  assert.ok(published > RELOADS, `${published} publications`);
  if (!SLOW) assert.ok(after < before * 1.15, `${before} kB after a fifth, ${after} kB in the end`);
  t.diagnostic(`${published} publications; ${before} kB, then ${after} kB`);
});
