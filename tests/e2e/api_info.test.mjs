import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

test("info and channels", async (t) => {
  const server = await startServer(t, {
    config: { node: { name: "test-node" }, channel: { namespaces: { chat: { allow_subscribe_for_client: true } } } },
  });

  await t.test("an idle node shows zeros", async () => {
    const { nodes } = await server.call("info");
    assert.equal(nodes.length, 1);
    const [node] = nodes;
    assert.equal(node.name, "test-node");
    assert.ok(node.uid.length > 0 && node.version.length > 0);
    for (const key of ["num_clients", "num_users", "num_channels", "num_subs"]) assert.equal(node[key], 0, key);
    assert.deepEqual(await server.call("channels"), { channels: {} });
  });

  const clients = [];
  for (const user of ["a", "a", "b", "c", "c", "c"]) clients.push(await server.connect(user));
  for (const client of clients) await client.subscribe("chat:all");
  await clients[0].subscribe("chat:one");
  await clients[1].subscribe("plain");

  await t.test("clients, users, channels and subscriptions are counted over all workers", async () => {
    const node = await until(async () => {
      const { nodes } = await server.call("info");
      return nodes[0].num_subs === 8 && nodes[0];
    }, "the counts");
    assert.equal(node.num_clients, 6);
    assert.equal(node.num_users, 3);
    assert.equal(node.num_channels, 3);
  });

  for (const [pattern, expected] of [
    [undefined, ["chat:all", "chat:one", "plain"]],
    ["*", ["chat:all", "chat:one", "plain"]],
    ["chat:*", ["chat:all", "chat:one"]],
    ["chat:?n?", ["chat:one"]],
    ["*:{all,two}", ["chat:all"]],
    ["[a-p]lain", ["plain"]],
    ["nothing", []],
  ]) {
    await t.test(`channels ${pattern ?? "without a pattern"}`, async () => {
      const { channels } = await server.call("channels", { pattern });
      assert.deepEqual(Object.keys(channels).sort(), expected);
      if (channels["chat:all"]) assert.deepEqual(channels["chat:all"], { num_clients: 6 });
      if (channels.plain) assert.deepEqual(channels.plain, { num_clients: 1 });
    });
  }
});
