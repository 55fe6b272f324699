// Channels that the connect command itself lists: those the client could subscribe to without a
// token are its server-side subscriptions, the others are passed over.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { userToken } from "./lib/token.mjs";
import { SLOW } from "./lib/wait.mjs";

/** What a process has cost so far: a busy machine does not change it. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const OPEN = { allow_subscribe_for_client: true };
const LIMITED = { allow_user_limited_channels: true };
const CONFIG = {
  client: { allow_anonymous_connect_without_token: true, user_id_http_header: "X-User", channel_limit: 5 },
  channel: {
    namespaces: {
      open: OPEN,
      any: { ...OPEN, allow_subscribe_for_anonymous: true },
      limited: { ...LIMITED, ...OPEN, allow_subscribe_for_anonymous: true },
      hooked: { ...OPEN, hooks: { subscribe: lua`function() return {} end` } },
      named: { ...OPEN, channel_regex: "^[a-z]+$" },
      closed: {},
    },
  },
};

/** [what the user (null: nobody) lists, what it gets of it] */
const ROWS = [
  ["7", ["open:a", "any:a"], ["open:a", "any:a"]],
  ["7", ["closed:a", "$open:a", "open:ü", "named:A", "hooked:a", "named:a"], ["named:a"]],
  ["7", [`any:${"a".repeat(251)}`, `any:${"a".repeat(252)}`], [`any:${"a".repeat(251)}`]],
  ["7", ["limited:a", "limited:a#7", "limited:a#6,7", "limited:a#6", "limited:a#"], ["limited:a", "limited:a#7", "limited:a#6,7"]],
  [null, ["open:a", "any:a", "limited:a", "limited:a#", "limited:a#7"], ["any:a", "limited:a"]],
];

test("channels listed in the connect command", async (t) => {
  const server = await startServer(t, { config: CONFIG });
  const connect = async (user, channels, options) => {
    const client = await server.open(options);
    const subs = Object.fromEntries(channels.map((channel) => [channel, {}]));
    client.send({ id: 1, connect: { token: user === null ? undefined : userToken(user), subs } });
    return client;
  };

  for (const [user, listed, got] of ROWS) {
    await t.test(`${user ?? "anonymous"}: ${listed.join(" ").slice(0, 60)}`, async () => {
      const { connect: result } = await (await connect(user, listed)).reply(1);
      assert.deepEqual(Object.keys(result.subs ?? {}).sort(), [...got].sort());
    });
  }

  await t.test("an unknown namespace is closed with 3501", async () => {
    await (await connect("7", ["none:a"])).expectClose(3501, "bad request");
  });

  await t.test("more of them than the channel limit are closed with 3505", async () => {
    await (await connect("7", ["open:1", "open:2", "open:3", "open:4", "open:5", "open:6"])).expectClose(3505, "channel limit");
  });
});

test("thousands of listed channels are not compared with each other", async (t) => {
  const server = await startServer(t, {
    config: { websocket: { message_size_limit: 2 << 20 }, channel: { namespaces: { closed: {} } } },
  });
  const subs = Object.fromEntries(Array.from({ length: 40000 }, (_, i) => [`closed:${i}`, {}]));
  const client = await server.open();
  const before = cpuSeconds(server.child.pid);
  assert.equal((await client.call("connect", { token: userToken("7"), subs })).subs, undefined);
  const took = cpuSeconds(server.child.pid) - before; // 0.05; compared one by one 2.6
  assert.ok(took < (SLOW ? 3 : 1), `took ${took} s`);
});

test("in insecure mode all but private ones are granted", async (t) => {
  const server = await startServer(t, { config: { ...CONFIG, client: { insecure: true } } });
  const client = await server.open();
  const subs = { "closed:a": {}, "limited:a#7": {}, "$closed:a": {} };
  const result = await client.call("connect", { subs });
  assert.deepEqual(Object.keys(result.subs).sort(), ["closed:a", "limited:a#7"]);
});

test("who is named by a header of the request gets none of them", async (t) => {
  const server = await startServer(t, { config: { ...CONFIG, client: { user_id_http_header: "X-User" } } });
  const client = await server.open({ headers: { "X-User": "7" } });
  assert.equal((await client.call("connect", { subs: { "any:a": {}, "none:a": {} } })).subs, undefined);
});
