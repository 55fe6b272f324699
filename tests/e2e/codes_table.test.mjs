// Every error, disconnect and unsubscribe code of src/client/codes.h: provoked by what docs/protocol.md
// says causes it, and compared with its exact text. A code without a row here fails.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { TOP, startServer } from "./lib/server.mjs";
import { frameBytes } from "./lib/tcp.mjs";
import { channelToken, sign, unixNow, userToken } from "./lib/token.mjs";
import { sleep } from "./lib/wait.mjs";

/** The rows of one list in codes.h: [{ name, code, text, temporary }]. */
function codesOf(list) {
  const source = readFileSync(join(TOP, "src/client/codes.h"), "utf8");
  const body = new RegExp(`#define ${list}\\(X\\)([^]*?)\\n\\n`).exec(source)[1];
  return [...body.matchAll(/X\((\w+), (\d+), "([^"]*)"(?:, (true|false))?\)/g)].map(([, name, code, text, temporary]) => ({
    name, code: Number(code), text, temporary: temporary === "true",
  }));
}

const per = (rate) => ({ buckets: [{ interval: "1h", rate }] });
const OPEN = { allow_subscribe_for_client: true, allow_publish_for_client: true };
const STREAM = { ...OPEN, history_size: 10, history_ttl: "60s", force_recovery: true };
const bytes = (size) => Buffer.alloc(size, 0x78).toString();

const disconnect = lua`function(client, reason)
  if client.user == "slow" then perigee.publish { channel = "ends", data = { reason.code, reason.reason } } end
end`;

const config = {
  client: {
    channel_limit: 3,
    concurrency: 4,
    user_connection_limit: 2,
    disallow_anonymous_connection_tokens: true,
    rate_limit: { client_command: { presence_stats: per(1) }, client_error: { total: per(5) } },
  },
  hooks: {
    connect: lua`function(ctx) if ctx.data == "no" then return false end end`,
    unsubscribe: lua`function(client, req)
      if req.channel == "heard" then perigee.publish { channel = "audit", data = { client.user, req.code, req.reason } } end
    end`,
    disconnect,
  },
  rpc: {
    known: lua`function() return true end`,
    broken: lua`function() error "broken" end`,
    leave: lua`function(client) client:disconnect() end`,
  },
  channel: {
    without_namespace: OPEN,
    namespaces: {
      closed: {},
      stream: { ...STREAM, allow_history_for_client: true },
      secret: STREAM,
      object: { ...OPEN, publication_data_format: "json_object" },
      broken: { hooks: { publish: lua`function() error "broken" end`, subscribe: lua`function() return false end` } },
      slow: { hooks: { subscribe: lua`function() perigee.sleep(7) end` } },
    },
  },
};

/** Everything that takes time comes soon here. */
const hasty = {
  client: {
    stale_close_delay: "1500ms",
    expired_close_delay: "100ms",
    expired_sub_close_delay: "100ms",
    presence_update_interval: "200ms",
    channel_position_check_delay: "2s",
    ping_interval: "600ms",
    pong_timeout: "300ms",
    rate_limit: { client_command: { send: per(1) } },
  },
  hooks: { message: lua`function() end` },
  channel: {
    without_namespace: OPEN,
    // its position is forgotten before it is looked at
    namespaces: { brief: { ...STREAM, history_ttl: "1s", history_meta_ttl: "1s" } },
  },
};

/** Who does not read is found out by time, not by what waits. */
const stuck = { client: { queue_max_size: "64M" }, websocket: { write_timeout: "200ms" }, hooks: { disconnect } };

let users = 0;
/** A new connection of a user of its own; `client.user` says whose. */
async function connected(server, options) {
  const user = `user${++users}`;
  return Object.assign(await server.connect(user, {}, options), { user });
}

/** The error of one command of a new connection. */
const refusal = (method, params, before = async () => {}) => async ({ main }) => {
  const client = await connected(main);
  await before(client);
  return (await client.command(method, params)).error;
};

/** The error that a connect command is answered with. */
const connectRefusal = (claims, data) => async ({ main }) => {
  const client = await main.open();
  return (await client.command("connect", { token: sign(claims), data })).error;
};

const subscribed = (channel, more) => (client) => client.subscribe(channel, more);
const past = () => unixNow() - 100;

const ERRORS = {
  INTERNAL: {
    "a hook failed": refusal("publish", { channel: "broken:a", data: 1 }),
    "an rpc function failed": refusal("rpc", { method: "broken" }),
  },
  UNAUTHORIZED: "never",
  UNKNOWN_CHANNEL: {
    "subscribe to an unknown namespace": refusal("subscribe", { channel: "none:a" }),
    "publish into one": refusal("publish", { channel: "none:a", data: 1 }),
    "presence of one": refusal("presence", { channel: "none:a" }),
    "history of one": refusal("history", { channel: "none:a" }),
    "a connection token that names one": connectRefusal({ sub: "1", channels: ["none:a"] }),
  },
  PERMISSION_DENIED: {
    "the options forbid subscribing": refusal("subscribe", { channel: "closed:a" }),
    "… publishing": refusal("publish", { channel: "closed:a", data: 1 }),
    "… history": refusal("history", { channel: "secret:a" }),
    "a private channel without token": refusal("subscribe", { channel: "$a" }),
    "an invalid subscription token": refusal("subscribe", { channel: "a", token: "a.b.c" }),
    "sub_refresh of what is not subscribed": refusal("sub_refresh", { channel: "a", token: "a.b.c" }),
    "the subscribe hook said no": refusal("subscribe", { channel: "broken:a" }),
    "the connect hook said no": connectRefusal({ sub: "1" }, "no"),
    "a subscription type that the namespace has not": refusal("subscribe", { channel: "a", type: 1 }),
  },
  METHOD_NOT_FOUND: { "no such rpc function, but others": refusal("rpc", { method: "unknown" }) },
  ALREADY_SUBSCRIBED: {
    "a second subscribe": refusal("subscribe", { channel: "a" }, subscribed("a")),
    "while one is under way": async ({ main }) => {
      const client = await connected(main);
      client.send(`${JSON.stringify({ id: 11, subscribe: { channel: "slow:a" } })}\n${JSON.stringify({ id: 12, subscribe: { channel: "slow:a" } })}`);
      return (await client.reply(12)).error;
    },
  },
  LIMIT_EXCEEDED: {
    "more channels than client.channel_limit": refusal("subscribe", { channel: "d" }, async (client) => {
      for (const channel of ["a", "b", "c"]) await client.subscribe(channel);
    }),
  },
  BAD_REQUEST: {
    "a channel name that is too long": refusal("subscribe", { channel: bytes(256) }),
    "a channel name that is not ASCII": refusal("subscribe", { channel: "ä" }),
    "no data": refusal("publish", { channel: "a" }),
    "data of another format": refusal("publish", { channel: "object:a", data: [1] }),
    "a map publication": refusal("publish", { channel: "a", data: 1, type: 1 }),
    "a page before offset 0": refusal("history", { channel: "stream:a", reverse: true, since: { offset: 0 } }),
    "a filter where none is allowed": refusal("subscribe", { channel: "a", tf: { key: "k", cmp: "ex" } }),
    "sub_refresh without token": refusal("sub_refresh", { channel: "a" }, subscribed("a")),
  },
  NOT_AVAILABLE: {
    "presence is off": refusal("presence", { channel: "a" }),
    "history is off": refusal("history", { channel: "a" }),
    "a ping in front of another command": async ({ main }) => {
      const client = await connected(main);
      client.send({ id: 11, ping: {}, publish: { channel: "a", data: 1 } });
      return (await client.reply(11)).error;
    },
    "shared poll": refusal("subscribe", { channel: "a", type: 4 }),
    "shared poll, whatever else is wrong": refusal("subscribe", { channel: "none:a", type: 4, delta: "none" }),
    "no rpc functions at all": async ({ quick }) => (await (await connected(quick)).command("rpc", { method: "any" })).error,
  },
  TOKEN_EXPIRED: {
    "of the connection": connectRefusal({ sub: "1", exp: past() }),
    "of a subscription": async ({ main }) => {
      const client = await connected(main);
      const token = channelToken(client.user, "$a", { exp: past() });
      return (await client.command("subscribe", { channel: "$a", token })).error;
    },
    "in sub_refresh": async ({ main }) => {
      const client = await connected(main);
      await client.subscribe("$a", { token: channelToken(client.user, "$a") });
      const token = channelToken(client.user, "$a", { exp: past() });
      return (await client.command("sub_refresh", { channel: "$a", token })).error;
    },
  },
  EXPIRED: {
    "expire_at of the connection has passed": connectRefusal({ sub: "1", exp: unixNow() + 100, expire_at: past() }),
    "… of a subscription": async ({ main }) => {
      const client = await connected(main);
      return (await client.command("subscribe", { channel: "$a", token: channelToken(client.user, "$a", { expire_at: past() }) })).error;
    },
    "… in refresh": async ({ main }) => {
      const client = await connected(main);
      return (await client.command("refresh", { token: userToken(client.user, { expire_at: past() }) })).error;
    },
  },
  TOO_MANY_REQUESTS: {
    "more than client.rate_limit": refusal("presence_stats", { channel: "a" }, (client) => client.command("presence_stats", { channel: "a" })),
  },
  UNRECOVERABLE_POSITION: {
    "history since another epoch": refusal("history", { channel: "stream:a", since: { offset: 0, epoch: "other" } }),
    "a subscribe that must recover and cannot": refusal("subscribe", {
      channel: "stream:a", recover: true, offset: 1, epoch: "other", flag: 2,
    }),
  },
  CONCURRENT_PAGINATION: "never",
};

/** How a connection ends after frames that follow its connect. */
const ending = (...frames) => async ({ main }) => {
  const client = await connected(main);
  for (const frame of frames) client.send(frame);
  return client.closed;
};

/** How a connection ends after its first frame. */
const firstEnding = (frame) => async ({ main }) => {
  const client = await main.open();
  client.send(frame);
  return client.closed;
};

const ordered = (command, params, before = async () => {}) => async ({ main }) => {
  const client = await connected(main);
  await before(main, client.user);
  await main.call(command, { user: client.user, ...params });
  return client.closed;
};

/** A client of the user "slow" that does not read what is published to it, and what hooks heard of its end. */
async function unread(server) {
  const audit = await connected(server);
  await audit.subscribe("ends");
  const slow = await server.tcp();
  await slow.upgrade();
  for (const command of [{ id: 1, connect: { token: userToken("slow") } }, { id: 2, subscribe: { channel: "flood" } }]) {
    slow.write(frameBytes(0x81, JSON.stringify(command)));
    await slow.frame();
  }
  slow.socket.pause();
  const end = audit.push("pub", "ends");
  let ended = false;
  end.finally(() => (ended = true)).catch(() => {});
  for (let n = 0; n < 400 && !ended; n++) await server.publish("flood", bytes(60 * 1024));
  const [code, reason] = (await end).data;
  slow.destroy();
  return { code, reason };
}

const DISCONNECTS = {
  CONNECTION_CLOSED: {
    "named by the API, TCP just ends": async ({ main }) => {
      const close = await ordered("disconnect", { disconnect: { code: 3000, reason: "x" } })({ main });
      assert.deepEqual(close, { code: 1006, reason: "" });
      return { code: 3000, reason: "connection closed" };
    },
  },
  SHUTDOWN: { "the server stops": ({ atShutdown }) => atShutdown },
  SERVER_ERROR: {
    "an unsubscribe waited too long for its subscribe": ending(
      { id: 11, subscribe: { channel: "slow:a" } },
      { id: 12, unsubscribe: { channel: "slow:a" } },
    ),
  },
  CONNECTION_EXPIRED: {
    "not refreshed": async ({ quick }) => {
      const client = await quick.open();
      await client.call("connect", { token: sign({ sub: "1", exp: unixNow() + 2 }) });
      return client.closed;
    },
    "refresh with an expired token": async ({ main }) => {
      const client = await connected(main);
      client.send({ id: 11, refresh: { token: userToken(client.user, { exp: past() }) } });
      return client.closed;
    },
    "the API says so": ordered("refresh", { expired: true }),
  },
  SUBSCRIPTION_EXPIRED: {
    "a server-side one": async ({ quick }) => {
      const client = await connected(quick);
      await quick.call("subscribe", { user: client.user, channel: "a", expire_at: unixNow() + 2 });
      return client.closed;
    },
  },
  SLOW: { "client.queue_max_size": ({ main }) => unread(main) },
  WRITE_ERROR: { "websocket.write_timeout": ({ patient }) => unread(patient) },
  INSUFFICIENT_STATE: {
    "refresh with a token that names other channels": async ({ main }) => {
      const client = await connected(main);
      client.send({ id: 11, refresh: { token: userToken(client.user, { channels: ["a"] }) } });
      return client.closed;
    },
    "a server-side subscription lost its position": async ({ quick }) => {
      const client = await connected(quick);
      await quick.call("subscribe", { user: client.user, channel: "brief:a" });
      return client.closed;
    },
  },
  FORCE_RECONNECT: { "the API names it, without a reason": ordered("disconnect", { disconnect: { code: 3011 } }) },
  NO_PONG: {
    "a ping was not answered": async ({ quick }) => {
      const client = await connected(quick, { pong: false });
      return client.closed;
    },
  },
  TOO_MANY_REQUESTS: {
    "a send over its limit": async ({ quick }) => {
      const client = await connected(quick);
      for (let n = 0; n < 2; n++) client.send({ send: { data: n } });
      return client.closed;
    },
  },
  STATE_INVALIDATED: { "the API names it, without a reason": ordered("disconnect", { disconnect: { code: 3014 } }) },
  INVALID_TOKEN: {
    "no token at all in form": firstEnding({ id: 1, connect: { token: "nonsense" } }),
    "another key": firstEnding({ id: 1, connect: { token: sign({ sub: "1" }, { secret: "other" }) } }),
    "a subscription token to connect": firstEnding({ id: 1, connect: { token: channelToken("1", "a") } }),
    "refresh for another user": ending({ id: 11, refresh: { token: userToken("other") } }),
    "a subscription token of another user": ending({ id: 11, subscribe: { channel: "$a", token: channelToken("other", "$a") } }),
    "… of another channel": ending({ id: 11, subscribe: { channel: "$a", token: channelToken("other", "$b") } }),
  },
  BAD_REQUEST: {
    "no valid command": ending("nonsense"),
    "an empty message": ending(""),
    "a command before connect": firstEnding({ id: 1, subscribe: { channel: "a" } }),
    "a pong before connect": firstEnding("{}"),
    "a second connect": ending({ id: 11, connect: {} }),
    "no token, and nobody anonymous": firstEnding({ id: 1, connect: {} }),
    "no channel": ending({ id: 11, publish: { data: 1 } }),
    "an unknown delta": ending({ id: 11, subscribe: { channel: "a", delta: "other" } }),
    "a pong that nobody asked for": ending("{}"),
    "a ping command": ending({ id: 11, ping: {} }),
    "refresh without token": ending({ id: 11, refresh: {} }),
    "an unknown namespace in connect's subs": async ({ main }) => {
      const client = await main.open();
      client.send({ id: 1, connect: { token: userToken(`user${++users}`), subs: { "none:a": {} } } });
      return client.closed;
    },
  },
  STALE: { "no connect in time": async ({ quick }) => (await quick.open()).closed },
  FORCE: {
    "the API, without a code": ordered("disconnect", {}),
    "a hook, without a code": ending({ id: 11, rpc: { method: "leave" } }),
  },
  CONNECTION_LIMIT: {
    "client.user_connection_limit": async ({ main }) => {
      const { user } = await connected(main);
      await main.connect(user);
      return firstEnding({ id: 1, connect: { token: userToken(user) } })({ main });
    },
  },
  CHANNEL_LIMIT: {
    "a token with too many channels": firstEnding({ id: 1, connect: { token: sign({ sub: "many", channels: ["a", "b", "c", "d"] }) } }),
    "the API subscribes to one too many": ordered("subscribe", { channel: "d" }, async (main, user) => {
      for (const channel of ["a", "b", "c"]) await main.call("subscribe", { user, channel });
    }),
  },
  INAPPROPRIATE_PROTOCOL: {
    "data that is not JSON": async ({ main }) => {
      const client = await connected(main);
      await client.subscribe("binary");
      await main.call("publish", { channel: "binary", b64data: Buffer.from([0xff, 0]).toString("base64") });
      return client.closed;
    },
  },
  PERMISSION_DENIED: {
    "a token without a user": firstEnding({ id: 1, connect: { token: sign({ exp: unixNow() + 100 }) } }),
  },
  NOT_AVAILABLE: { "nobody takes messages": ending({ send: { data: 1 } }) },
  TOO_MANY_ERRORS: {
    "client.rate_limit.client_error": ending(...Array.from({ length: 6 }, (_, n) => ({ id: 11 + n, subscribe: { channel: "none:a" } }))),
  },
};

/** What hooks hear of the end of a subscription to "heard". */
const heard = (act) => async ({ main }) => {
  const audit = await connected(main);
  await audit.subscribe("audit");
  const client = await connected(main);
  await client.subscribe("heard");
  await act(client);
  for (;;) {
    const [user, code, reason] = (await audit.push("pub", "audit")).data;
    if (user === client.user) return { code, reason };
  }
};

const UNSUBSCRIBES = {
  BY_CLIENT: { "hooks hear it": heard((client) => client.call("unsubscribe", { channel: "heard" })) },
  DISCONNECTED: { "hooks hear it": heard(async (client) => client.destroy()) },
  SERVER: {
    "the API says so": async ({ main }) => {
      const client = await connected(main);
      await client.subscribe("a");
      await main.call("unsubscribe", { user: client.user, channel: "a" });
      return client.push("unsubscribe", "a");
    },
  },
  INSUFFICIENT_STATE: {
    "the position is lost": async ({ quick }) => {
      const client = await connected(quick);
      await client.subscribe("brief:b");
      return client.push("unsubscribe", "brief:b");
    },
  },
  EXPIRED: {
    "not refreshed": async ({ quick }) => {
      const client = await connected(quick);
      await client.subscribe("$a", { token: channelToken(client.user, "$a", { expire_at: unixNow() + 2 }) });
      return client.push("unsubscribe", "$a");
    },
  },
  STATE_INVALIDATED: "never",
};

const docs = readFileSync(join(TOP, "docs/protocol.md"), "utf8");

/** What a row of codes.h looks like to a client. */
const asError = ({ code, text, temporary }) => ({ code, message: text, ...(temporary ? { temporary } : {}) });
const asReason = ({ code, text }) => ({ code, reason: text });

const TABLES = [
  ["error", "ERROR_LIST", ERRORS, asError],
  ["disconnect", "DISCONNECT_LIST", DISCONNECTS, asReason],
  ["unsubscribe", "UNSUBSCRIBE_LIST", UNSUBSCRIBES, asReason],
];

test("the lists, this table and the documentation have the same codes", () => {
  for (const [kind, list, rows] of TABLES) {
    const codes = codesOf(list);
    assert.deepEqual(codes.map(({ name }) => name), Object.keys(rows), `${list} and the rows of ${kind} codes`);
    for (const { name, code, text } of codes) {
      const row = new RegExp(`^\\| ${code} \\| ${text}`, "m");
      if (rows[name] === "never") assert.match(docs, new RegExp(`\\b${code}\\b[^|]*defined and (not produced|never sent)`), `${name} in docs/protocol.md`);
      else if (code !== 3000) assert.match(docs, row, `${name} in docs/protocol.md`);
    }
  }
});

test("every code comes from its causes, with its exact text", async (t) => {
  let stop;
  const atShutdown = new Promise((done) => (stop = done));
  const [main, quick, patient, ending] = await Promise.all([config, hasty, stuck, {}].map((each) => startServer(t, { config: each })));
  const last = await connected(ending);
  ending.stop().then(async () => stop(await last.closed));
  const runs = [];
  for (const [kind, list, rows, looks] of TABLES) {
    for (const row of codesOf(list)) {
      for (const [cause, provoke] of Object.entries(rows[row.name] === "never" ? {} : rows[row.name])) {
        const run = async () => {
          const told = await provoke({ main, quick, patient, atShutdown });
          assert.deepEqual(told, looks(row));
        };
        runs.push([`${kind} ${row.code}: ${cause}`, run]);
      }
    }
  }
  assert.ok(runs.length > 80);
  const results = runs.map(([, run], n) => sleep(n * 5).then(run).then(() => null, (error) => error));
  for (const [n, [name]] of runs.entries()) {
    await t.test(name, async () => {
      const error = await results[n];
      if (error) throw error;
    });
  }
});
