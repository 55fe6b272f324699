import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { userToken } from "./lib/token.mjs";

test("the first command", async (t) => {
  const server = await startServer(t, { config: { client: { stale_close_delay: "1s" } } });
  const channel = "news";
  const early = {
    subscribe: { id: 1, subscribe: { channel } },
    unsubscribe: { id: 1, unsubscribe: { channel } },
    publish: { id: 1, publish: { channel, data: {} } },
    presence: { id: 1, presence: { channel } },
    presence_stats: { id: 1, presence_stats: { channel } },
    history: { id: 1, history: { channel } },
    rpc: { id: 1, rpc: { method: "x" } },
    send: { send: { data: {} } },
    refresh: { id: 1, refresh: { token: userToken("1") } },
    sub_refresh: { id: 1, sub_refresh: { channel, token: "x" } },
    ping: { id: 1, ping: {} },
    "a pong": {},
    "an id alone": { id: 1 },
    "a connect without an id": { connect: { token: userToken("1") } },
    "a connect that is null": { id: 1, connect: null },
  };
  for (const [what, command] of Object.entries(early)) {
    await t.test(`${what} before connect is closed with 3501`, async () => {
      const client = await server.open();
      client.send(command);
      await client.expectClose(3501, "bad request");
      assert.equal(client.log.length, 0, "no reply");
    });
  }

  await t.test("a second connect is closed with 3501", async () => {
    const client = await server.connect("1");
    client.send({ id: 2, connect: { token: userToken("1") } });
    await client.expectClose(3501, "bad request");
  });

  await t.test("connect and subscribes in one frame are answered in order", async () => {
    const client = await server.open();
    const commands = [{ id: 1, connect: { token: userToken("1") } }];
    for (let id = 2; id <= 11; id++) commands.push({ id, subscribe: { channel: `c${id}` } });
    client.send(commands.map((command) => JSON.stringify(command)).join("\n"));
    await client.take((message) => message.id === 11, "the last reply");
    assert.deepEqual(
      client.log.map(({ message }) => message.id),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    );
  });

  await t.test("a connection that sends nothing is closed with 3502", async () => {
    const start = Date.now();
    const client = await server.open();
    await client.expectClose(3502, "stale");
    const took = Date.now() - start;
    assert.ok(took > 900 && took < 5000, `${took} ms`);
  });
});

test("the time in the connect reply", async (t) => {
  const server = await startServer(t, { config: { client: { connect_include_server_time: true } } });
  const client = await server.connect("1");
  assert.ok(Math.abs(client.connected.time - Date.now()) < 5000, `time ${client.connected.time}`);
});
