// perigee.dict: one store for all workers, over reloads, within its memory.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { SLOW, until } from "./lib/wait.mjs";

const RPC = `(function()
local store = perigee.dict "store"
return {
  count = function() for _ = 1, 500 do store:incr "hits" end return store:get "hits" end,
  seat = function(client, data)
    local got = 0
    for i = 1, 200 do if store:add("seat" .. i, client.user) then got = got + 1 end end
    return got
  end,
  fill = function()
    local n = 0
    for i = 1, 2000 do
      local ok, why = store:set("soon" .. i, ("x"):rep(100), "${SLOW ? "4s" : "1500ms"}")
      if not ok then return { n = n, why = why } end
      n = n + 1
    end
    return { n = n }
  end,
  get = function(_, key) return store:get(key) end,
  keys = function(_, prefix) return store:keys(prefix) end,
}
end)()`;

const start = (t, lua_options = {}) =>
  startServer(t, {
    config: { prometheus: { enabled: true }, lua: { timeout: "5s", ...lua_options }, rpc: lua(RPC) },
  });

async function metric(server, name) {
  const { text } = await server.request("GET", "/metrics");
  return Number(new RegExp(`^perigee_${name} (\\d+)$`, "m").exec(text)?.[1]);
}

const rpc = async (client, method, data) => (await client.call("rpc", { method, data })).data;

test("a dict is shared", async (t) => {
  const server = await start(t);
  // The kernel spreads connections over the workers; with 12 of them each worker has some.
  const clients = await Promise.all(Array.from({ length: 12 }, (_, n) => server.connect(`user${n}`)));

  await t.test("counting is exact, whoever counts", async () => {
    const rounds = SLOW ? 4 : 20;
    await Promise.all(
      clients.map(async (client) => {
        for (let n = 0; n < rounds; n++) await rpc(client, "count");
      }),
    );
    for (const client of clients) assert.equal(await rpc(client, "get", "hits"), 12 * rounds * 500);
  });

  await t.test("each place is given once", async () => {
    const got = await Promise.all(clients.map((client) => rpc(client, "seat")));
    assert.equal(
      got.reduce((sum, n) => sum + n),
      200,
    );
    assert.equal((await rpc(clients[0], "keys", "seat")).length, 200);
  });

  await t.test("a reload keeps it", async () => {
    writeFileSync(server.file, readFileSync(server.file, "utf8").replace('store:incr "hits"', 'store:incr("hits", 2)'));
    server.child.kill("SIGHUP");
    await server.logged(/"message":"reloaded"/);
    const before = await rpc(clients[0], "get", "hits");
    assert.ok(before > 0);
    assert.equal(await rpc(clients[0], "count"), before + 1000);
  });

  await t.test("what is over is gone, and its memory comes back without anybody asking", async () => {
    const [keys, bytes] = [await metric(server, "dict_keys"), await metric(server, "dict_bytes")];
    assert.equal(keys, 201);
    assert.deepEqual(await rpc(clients[0], "fill"), { n: 2000 });
    assert.ok((await metric(server, "dict_bytes")) > bytes + 2000 * 100);
    await until(async () => (await rpc(clients[1], "get", "soon1")) == null, "the first to be over");
    await until(async () => (await metric(server, "dict_keys")) === 201, "the sweep");
    assert.equal(await metric(server, "dict_bytes"), bytes);
  });
});

test("a full dict refuses, says so, and the limit may be raised by a reload", async (t) => {
  const server = await start(t, { dict_memory_limit: "100K" });
  const client = await server.connect("ann");
  const { n, why } = await rpc(client, "fill");
  assert.equal(why, "the dict is full");
  assert.ok(n > 200 && n < 1000, `${n} entries`);
  assert.ok((await metric(server, "dict_bytes")) <= 102400);
  assert.ok((await metric(server, "dict_full_total")) >= 1);
  await server.logged(/perigee\.dict is full.*"dict":"store".*"option":"lua\.dict_memory_limit"/);
  writeFileSync(server.file, readFileSync(server.file, "utf8").replace("100K", "10M"));
  server.child.kill("SIGHUP");
  await server.logged(/"message":"reloaded"/);
  assert.deepEqual(await rpc(client, "fill"), { n: 2000 });
});

test("config.lua may name a dict, but not use it while it loads", async (t) => {
  const server = await start(t);
  writeFileSync(server.file, `${readFileSync(server.file, "utf8").replace("return", 'perigee.dict("a"):get "x"\nreturn')}`);
  server.child.kill("SIGHUP");
  await server.logged(/config\.lua:3: perigee\.dict \\"a\\"\.get may not be used while config\.lua loads/);
  await server.logged(/not reloaded/);
});
