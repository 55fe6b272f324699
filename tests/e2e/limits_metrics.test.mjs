import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";

const UPGRADE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
};

test("what limits refused is counted, over all workers, and logged now and then", async (t) => {
  const server = await startServer(t, {
    config: {
      prometheus: { enabled: true },
      client: {
        connection_limit: 2,
        rate_limit: { client_command: { unsubscribe: { buckets: [{ interval: "1h", rate: 3 }] } } },
      },
    },
  });
  const counters = async () => {
    const { text } = await server.request("GET", "/metrics");
    return ["node_client_connection_limit", "node_client_connection_rate_limit", "client_commands_limited_total"].map((name) =>
      Number(new RegExp(`^perigee_${name} (\\d+)$`, "m").exec(text)?.[1]),
    );
  };

  assert.deepEqual(await counters(), [0, 0, 0]);
  for (const user of ["a", "b"]) {
    const client = await server.connect(user);
    for (let n = 0; n < 3; n++) await client.call("unsubscribe", { channel: "x" });
    for (let n = 0; n < 20; n++) await client.refused("unsubscribe", { channel: "x" }, 111);
  }
  for (let n = 0; n < 8; n++) {
    assert.equal((await server.request("GET", "/connection/websocket", { headers: UPGRADE })).status, 503);
  }
  assert.deepEqual(await counters(), [8, 0, 40]);
  const lines = (pattern) => server.stderr.split("\n").filter((line) => pattern.test(line)).length;
  assert.ok([1, 2].includes(lines(/too many connections/)), server.tail());
  assert.ok([2, 3, 4, 5, 6].includes(lines(/"code":111/)), server.tail());
});
