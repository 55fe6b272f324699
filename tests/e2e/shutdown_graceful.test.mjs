import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { API_KEY, startServer } from "./lib/server.mjs";
import { sleep, until } from "./lib/wait.mjs";

for (const signal of ["SIGTERM", "SIGINT"]) {
  test(`${signal} tells every client 3001 and ends with 0`, async (t) => {
    const server = await startServer(t);
    const clients = [];
    for (let n = 0; n < 20; n++) {
      const client = await server.connect(`u${n}`);
      await client.subscribe("news");
      clients.push(client);
    }
    const unready = await server.open();
    const start = Date.now();
    server.kill(signal);
    for (const client of [...clients, unready]) await client.expectClose(3001, "shutdown");
    assert.deepEqual(await server.exit, { code: 0, signal: null });
    assert.ok(Date.now() - start < 8000, `took ${Date.now() - start} ms`);
  });
}

test("a request in flight is answered", async (t) => {
  const server = await startServer(t, {
    config: { api: { nap: lua("function(params) perigee.sleep(0.5) return { done = true } end") } },
  });
  const answer = server.call("nap");
  await sleep(150);
  server.kill("SIGTERM");
  assert.deepEqual(await answer, { done: true });
  assert.deepEqual(await server.exit, { code: 0, signal: null });
});

test("peers that do not answer delay it no longer than the time-out", async (t) => {
  const server = await startServer(t, { config: { shutdown: { timeout: "2s" } } });
  const silent = await server.tcp();
  await silent.upgrade();
  const half = await server.tcp();
  half.write(`POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nContent-Length: 100\r\n\r\n{`);
  await sleep(50);
  const start = Date.now();
  server.kill("SIGTERM");
  assert.deepEqual(await server.exit, { code: 0, signal: null });
  assert.ok(Date.now() - start < 6000, `took ${Date.now() - start} ms`);
});

test("the SDK reconnects to a server that comes back", async (t) => {
  const first = await startServer(t);
  const client = first.sdk();
  client.connect();
  await client.whenConnected();
  const contexts = [];
  client.on("connecting", (ctx) => contexts.push(ctx));
  first.kill("SIGTERM");
  await until(() => contexts.length > 0, "the SDK to notice");
  assert.equal(contexts[0].code, 3001);
  assert.equal(client.state, "connecting");
  assert.deepEqual(await first.exit, { code: 0, signal: null });
});
