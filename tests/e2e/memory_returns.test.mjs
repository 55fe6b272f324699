import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { frameBytes, Tcp } from "./lib/tcp.mjs";
import { userToken } from "./lib/token.mjs";
import { SLOW, until } from "./lib/wait.mjs";

const CROWD = SLOW ? 300 : 2000;
const AT_ONCE = 100;

/** What the process holds in memory that no file backs, in bytes. */
function held(server) {
  const text = readFileSync(`/proc/${server.child.pid}/smaps_rollup`, "latin1");
  return Number(/^Anonymous: +(\d+) kB/m.exec(text)[1]) * 1024;
}

const clients = async (server) => (await server.call("info")).nodes[0].num_clients;

async function join(server, n) {
  const tcp = await Tcp.open(server.port);
  const say = (command) => frameBytes(0x81, JSON.stringify(command));
  const hello = [{ id: 1, connect: { token: userToken(`user${n}`) } }, { id: 2, subscribe: { channel: "news" } }];
  await tcp.upgrade({ more: Buffer.concat(hello.map(say)) });
  await tcp.find((bytes) => bytes.includes('"subscribe":'), "the reply to subscribe");
  return tcp;
}

/** CROWD clients come, stay for one message and go; returns what the server held then and afterwards. */
async function crowd(server, settled) {
  const here = [];
  while (here.length < CROWD) {
    here.push(...(await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => join(server, here.length + i)))));
  }
  await server.publish("news", "hello");
  await Promise.all(here.map((tcp) => tcp.find((bytes) => bytes.includes('"hello"'), "the publication")));
  const most = held(server);
  for (const tcp of here) tcp.destroy();
  await until(async () => (await clients(server)) === 0, "everybody to be gone");
  await until(() => settled(held(server), most), "the memory to be given back");
  return { most, after: held(server) };
}

test("what a crowd needed is given back when it has gone, each time", async (t) => {
  /* malloc keeps up to 256 KiB for each worker, beside which this crowd would be hard to see with many. */
  const server = await startServer(t, { config: { workers: 1 } });
  const start = held(server);
  /* A sanitizer keeps what is freed, to find later uses of it. */
  const mostIsBack = (now, most) => SLOW || now - start < (most - start) / 3;

  const first = await crowd(server, mostIsBack);
  const second = await crowd(server, mostIsBack);
  t.diagnostic(`held: ${JSON.stringify({ start, first, second })}`);
  if (!SLOW) assert.ok(second.after - first.after < (first.most - start) / 4, "the second crowd leaves little more behind");
});
