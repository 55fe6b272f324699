// Hooks hear of every beginning and every end exactly once, however sessions end: thousands of them
// connect, subscribe, and are cut off at random moments; what the hooks wrote down is compared with
// what can have happened.
import assert from "node:assert/strict";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { Session } from "./lib/session.mjs";
import { userToken } from "./lib/token.mjs";
import { PATIENCE_MS, SLOW, sleep, until } from "./lib/wait.mjs";

const SESSIONS = SLOW ? 2000 : 20000;
const AT_ONCE = 250;
const CHANNELS = 120;
const DELAY_MS = 250;

/** A line for each event: what, then whom or where. */
const noting = (what, ...names) => `print(table.concat({ "event", "${what}", ${names.join(", ")} }, " "))`;

const CONFIG = {
  log: { level: "info", format: "text" },
  client: { channel_limit: -1, rate_limit: { client_command: { subscribe: { buckets: [] }, total: { buckets: [] } } } },
  channel: {
    vacated_event_delay: `${DELAY_MS}ms`,
    namespaces: {
      room: { presence: true, join_leave: true, hooks: {} },
      slow: {},
    },
  },
  hooks: {
    connect: lua(`function(ctx)
      ${noting("connect", "ctx.id")}
      if ctx.data == "slow" then perigee.sleep(0.003) end
      if ctx.data == "refused" then return perigee.error(1001, "not you") end
      if ctx.data == "kicked" then return perigee.disconnect_code(4501, "not you") end
      if ctx.data == "serverside" then return { channels = { "room:both", "slow:both" } } end
    end`),
    subscribe: lua(`function(client, req)
      if req.channel:find "refused" then return perigee.error(1002, "not here") end
      if req.channel:find "kicked" then return perigee.disconnect_code(4502, "not here") end
      ${noting("subscribe", "client.id", "req.channel")}
      if req.channel:find "slow" then perigee.sleep(0.002) end
      return {}
    end`),
    unsubscribe: lua(`function(client, req)
      ${noting("unsubscribe", "client.id", "req.channel", "req.code")}
      if req.channel:find "slow" then perigee.sleep(0.002) assert(client.user ~= "") end
    end`),
    disconnect: lua(`function(client, reason)
      ${noting("disconnect", "client.id", "reason.code")}
      if reason.code % 2 == 0 then perigee.sleep(0.002) assert(client.user ~= "") end
    end`),
    occupied: lua(`function(channel)
      ${noting("occupied", "channel")}
      if channel:find "slow" then perigee.sleep(0.01) end
    end`),
    vacated: lua(`function(channel) ${noting("vacated", "channel")} end`),
  },
};

/** Random, and the same in every run. */
function randomness(seed) {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % sides;
  };
}

const room = (random) => `${random(4) === 0 ? "slow" : "room"}:${random(CHANNELS)}`;

/** What a session saw of itself. */
class Story {
  constructor() {
    this.id = null; // once the connect reply is there
    this.refused = false;
    this.entered = new Map(); // channel → how often a reply said so
  }

  hear(session) {
    this.asked = new Map();
    this.answers = 0;
    session.onMessage = (message) => {
      if (message.connect) this.enterAll(message.connect);
      if (message.id === 1 && message.error) this.refused = true;
      if (message.id) this.answers += 1;
      if (message.subscribe) this.enter(this.asked.get(message.id));
    };
  }

  enterAll({ client, subs }) {
    this.id = client;
    for (const channel of Object.keys(subs ?? {})) this.enter(channel);
  }

  enter(channel) {
    this.entered.set(channel, (this.entered.get(channel) ?? 0) + 1);
  }
}

/** One life, from the socket to its end; which end, and when, is random. */
async function live(server, n, random, token) {
  const story = new Story();
  const session = new Session(server.port, n);
  const abrupt = random(2) === 0;
  const ending = random(12);
  let id = 1;
  const subscribe = (channel) => {
    id += 1;
    story.asked.set(id, channel);
    return { id, subscribe: { channel } };
  };
  const unsubscribe = (channel) => ({ id: ++id, unsubscribe: { channel } });
  story.hear(session);
  if (ending === 0) {
    session.drop(abrupt);
    return story;
  }
  const data = ["slow", "refused", "kicked", "serverside"][random(16)];
  const first = { id: 1, connect: { token, data } };
  const channels = Array.from({ length: random(5) }, () => room(random));
  if (random(4) === 0) session.send(first, ...channels.map(subscribe));
  else session.send(first);
  if (ending === 1) {
    if (random(2)) await new Promise(setImmediate);
    session.drop(abrupt);
    return story;
  }
  await session.until(() => story.id || story.refused);
  if (story.refused && ending % 2) session.send(subscribe("room:late")); // is closed for that
  else if (!story.refused && !session.isClosed) await act(server, session, story, random, ending, { subscribe, unsubscribe });
  session.drop(abrupt);
  await session.until(() => false);
  return story;
}

async function act(server, session, story, random, ending, { subscribe, unsubscribe }) {
  const channels = [...new Set(Array.from({ length: 1 + random(4) }, () => room(random)))];
  const all = channels.map(subscribe);
  const last = all.at(-1).id;
  session.send(...all);
  if (ending === 2) return; // in the middle of it
  if (ending === 3) session.send(unsubscribe(channels[0]), subscribe(channels[0]), unsubscribe(channels[0]));
  if (ending === 4) session.send(subscribe("room:refused"), subscribe("room:kicked"));
  if (ending === 5) session.send(unsubscribe(channels[0]), subscribe(channels[0]));
  await session.until(() => story.answers >= last);
  if (ending === 6) await session.close(3000 + random(1000));
  if (ending === 7) await server.call("disconnect", { client: story.id, user: "u" });
  if (ending === 8) await server.call("unsubscribe", { client: story.id, user: "u", channel: channels[0] });
  if (ending === 9) session.send({ id: 99, publish: {} }); // a bad request
  if (ending === 9 || ending === 4) await session.until(() => false);
  if (ending === 10) await server.call("subscribe", { client: story.id, user: "u", channel: "room:ordered" });
}

/** The events of the log, in order: [what, …]. */
const events = (server) => [...server.stderr.matchAll(/\bevent (\w+) ([^\n"]+)/g)].map(([, what, rest]) => [what, ...rest.trim().split(" ")]);

/** What each session was told to hooks, and what each channel was. */
function sort(list) {
  const sessions = new Map();
  const channels = new Map();
  for (const [what, whom, ...rest] of list) {
    const into = what === "occupied" || what === "vacated" ? channels : sessions;
    if (!into.has(whom)) into.set(whom, []);
    into.get(whom).push([what, ...rest]);
  }
  return { sessions, channels };
}

function checkSession(id, told, story) {
  const say = () => `${id}: ${JSON.stringify(told)} ${JSON.stringify(story && [...story.entered])}`;
  const ends = told.filter(([what]) => what === "disconnect").length;
  assert.equal(told[0][0], "connect", say());
  assert.equal(told.filter(([what]) => what === "connect").length, 1, say());
  assert.ok(ends <= 1, say());
  if (story) assert.equal(ends, 1, say());
  if (ends === 1) assert.equal(told.at(-1)[0], "disconnect", say());
  const inside = new Map(); // channel → [begun, ended]
  for (const [what, channel] of told) {
    const counts = inside.get(channel) ?? [0, 0];
    if (what === "subscribe") counts[0] += 1;
    if (what === "unsubscribe") counts[1] += 1;
    if (what === "subscribe" || what === "unsubscribe") inside.set(channel, counts);
  }
  for (const [channel, [begun, ended]] of inside) {
    const entered = story?.entered.get(channel) ?? 0;
    const unasked = /:(both|ordered)$/.test(channel); // no hook is asked about server-side ones
    assert.ok(ended >= entered, `${channel} entered ${entered} times: ${say()}`);
    assert.ok(ended <= (unasked ? 1 : begun), `${channel}: ${say()}`);
    if (!ends) assert.equal(ended, 0, say());
  }
}

function checkChannel(channel, told) {
  const say = () => `${channel}: ${told.map(([what]) => what).join(" ")}`;
  told.forEach(([what], n) => assert.equal(what, n % 2 ? "vacated" : "occupied", say()));
  assert.equal(told.length % 2, 0, say());
}

test(`${SESSIONS} sessions, cut off at random: every end is told once`, async (t) => {
  const server = await startServer(t, { config: CONFIG });
  const random = randomness(20150101);
  const token = userToken("u");
  const stories = [];
  let next = 0;
  const keeper = await server.connect("keeper");
  const kept = Array.from({ length: 10 }, (_, n) => `room:${n}`);
  for (const channel of kept) await keeper.subscribe(channel);

  const worker = async () => {
    while (next < SESSIONS) stories.push(await live(server, next++, random, token));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await until(async () => (await server.call("info")).nodes[0].num_clients === 1, "every session to end", 4 * PATIENCE_MS);
  await sleep(2 * DELAY_MS);
  for (const channel of kept) {
    const told = sort(events(server)).channels.get(channel);
    assert.deepEqual(told, [["occupied"]], channel);
  }
  keeper.destroy();
  await until(() => sort(events(server)).channels.get(kept[0]).length === 2, "the last channels to be vacated");
  await server.stop();

  const { sessions, channels } = sort(events(server));
  const byId = new Map(stories.filter(({ id }) => id).map((story) => [story.id, story]));
  for (const [id, told] of sessions) checkSession(id, told, byId.get(id));
  for (const id of byId.keys()) assert.ok(sessions.has(id), `${id} began and no hook heard of it`);
  for (const [channel, told] of channels) checkChannel(channel, told);
  const entered = new Set(stories.flatMap((story) => [...story.entered.keys()]));
  for (const channel of entered) assert.ok(channels.has(channel), `${channel} was occupied and no hook heard of it`);
  assert.ok(byId.size > SESSIONS / 2, `${byId.size} sessions began`);
  assert.ok(entered.size > CHANNELS, `${entered.size} channels were entered`);
  assert.ok(!channels.has("room:refused") && !channels.has("room:late") && !channels.has("room:kicked"));
});
