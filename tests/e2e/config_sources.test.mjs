// Options in etcd (a real one) and in Consul (a small fake: Debian has none): what they hold lies over
// the file and below the environment, and a change reloads.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import test from "node:test";
import { startBackend } from "./lib/backend.mjs";
import { startEtcd } from "./lib/etcd.mjs";
import { freePort, run, scratch, startServer } from "./lib/server.mjs";
import { SECRET } from "./lib/token.mjs";
import { until } from "./lib/wait.mjs";

const reloads = (server) => (server.stderr.match(/"message":"reloaded"/g) ?? []).length;

async function reloaded(server, change) {
  const before = reloads(server);
  await change();
  await until(() => reloads(server) > before, `a reload; ${server.tail()}`);
}

/** Subscribing is allowed or not: what is in force right now. */
async function allowed(server, channel) {
  const client = await server.connect("probe");
  const reply = await client.command("subscribe", { channel });
  client.destroy();
  return !reply.error;
}

test("etcd", async (t) => {
  const etcd = await startEtcd(t);
  await etcd.put("perigee", { channel: { namespaces: { doc: { allow_subscribe_for_client: true } } } });
  await etcd.put("perigee/client/token/hmac_secret_key", SECRET);
  await etcd.put("perigee/client/channel_limit", "2");
  await etcd.put("perigee/channel/namespaces/news", '{"allow_subscribe_for_client":true,"history_size":5,"history_ttl":"10m"}');
  await etcd.put("perigee/channel/namespaces/my.ns/allow_subscribe_for_client", "true");
  await etcd.put("perigee2/nonsense", "not ours");
  const config = {
    client: { token: { hmac_secret_key: "weaker than the source" }, channel_limit: 99 },
    config_source: { type: "etcd", endpoint: `${etcd.url}/` },
  };
  const server = await startServer(t, { config, env: { PERIGEE_CLIENT_CHANNEL_LIMIT: "3" } });

  await t.test("over the file, below the environment", async () => {
    const client = await server.connect("ann");
    for (const channel of ["doc:1", "news:1", "my.ns:1"]) await client.subscribe(channel);
    await client.refused("subscribe", { channel: "news:2" }, 106);
    assert.equal(reloads(server), 0, "what was read at the start is no change");
  });
  await t.test("a change reloads, nobody is disconnected", async () => {
    const client = await server.connect("ann");
    assert.equal(await allowed(server, "live:1"), false);
    await reloaded(server, () => etcd.put("perigee/channel/namespaces/live/allow_subscribe_for_client", "true"));
    assert.equal(await allowed(server, "live:1"), true);
    await reloaded(server, () => etcd.delete("perigee/channel/namespaces/live/allow_subscribe_for_client"));
    assert.equal(await allowed(server, "live:1"), false);
    await client.assertAlive();
  });
  await t.test("a wrong value changes nothing and is named by its key", async () => {
    await etcd.put("perigee/channel/namespaces/news/presense", "true");
    await server.logged(/etcd key perigee\/channel\/namespaces\/news\/presense: .*did you mean.*presence/);
    assert.equal(await allowed(server, "news:1"), true);
    await reloaded(server, () => etcd.put("perigee/channel/namespaces/live", { allow_subscribe_for_client: true })
      .then(() => etcd.delete("perigee/channel/namespaces/news/presense")));
    assert.equal(await allowed(server, "live:1"), true);
  });
  await t.test("an outage changes nothing; afterwards changes are seen again", async () => {
    await etcd.stop();
    await server.logged(/the configuration source cannot be read/);
    server.child.kill("SIGHUP");
    await server.logged(/"message":"reloaded"(?![^]*configuration source cannot)/);
    assert.equal(await allowed(server, "live:1"), true, "SIGHUP takes what was last read");
    await etcd.start();
    await reloaded(server, () => etcd.put("perigee/channel/namespaces/later/allow_subscribe_for_client", "true"));
    assert.equal(await allowed(server, "later:1"), true);
    assert.match(server.stderr, /can be read again/);
  });
  await t.test("user and password", async () => {
    await etcd.requirePassword("pass-of-root");
    const file = `${scratch(t)}/config.lua`;
    const check = async (more) => {
      writeFileSync(file, `return { config_source = { type = "etcd", endpoint = "${etcd.url}", ${more} } }`);
      return run(["check", "-c", file]);
    };
    const good = await check('user = "root", password = "pass-of-root"');
    assert.equal(good.code, 0, good.stdout);
    for (const more of ["", 'user = "root", password = "guess"']) {
      const bad = await check(more);
      assert.equal(bad.code, 2);
      assert.match(bad.stdout, /config\.lua:1: config_source: etcd at http:.*: it answered with status 4\d\d/);
      assert.doesNotMatch(bad.stdout, /guess/);
    }
    // A server without a password keeps what it has, and says why.
    await etcd.put("perigee/client/channel_limit", "5");
    await server.logged(/status 4\d\d/);
    assert.equal(await allowed(server, "later:1"), true);
  });
});

/** Consul's KV as far as it is used: recursive reads that wait for an index. */
async function startConsul(t) {
  const consul = { index: 7, keys: new Map(), waiting: new Set(), tokens: new Set() };
  const backend = await startBackend(t, async (request, response) => {
    const url = new URL(request.url, "http://x");
    const prefix = decodeURIComponent(url.pathname.replace("/v1/kv/", ""));
    if (consul.token && request.headers["x-consul-token"] !== consul.token) return response.writeHead(403).end("no");
    if (Number(url.searchParams.get("index") ?? 0) >= consul.index) {
      await new Promise((done) => consul.waiting.add(done));
    }
    const found = [...consul.keys].filter(([key]) => key.startsWith(prefix)).sort();
    response.setHeader("X-Consul-Index", consul.index);
    response.writeHead(found.length ? 200 : 404);
    response.end(found.length ? JSON.stringify(found.map(([Key, value]) => (
      { Key, Value: value === null ? null : Buffer.from(value).toString("base64"), ModifyIndex: 1 }))) : "");
  });
  consul.url = backend.url;
  consul.set = (key, value) => {
    consul.keys.set(key, value);
    consul.index += 1;
    for (const done of consul.waiting) done();
    consul.waiting.clear();
  };
  return consul;
}

test("Consul", async (t) => {
  const consul = await startConsul(t);
  consul.token = "acl-token";
  const server = await startServer(t, {
    config: { config_source: { type: "consul", endpoint: consul.url, prefix: "apps/perigee", token: "acl-token" } },
  });
  assert.equal(await allowed(server, "live:1"), false);
  await reloaded(server, async () => consul.set("apps/perigee/channel/namespaces/live", '{"allow_subscribe_for_client":true}'));
  assert.equal(await allowed(server, "live:1"), true);
  consul.set("apps/perigee/", null); // what Consul's page makes for a folder
  consul.set("apps/perigee-other/x", "not ours");
  await until(() => consul.waiting.size > 0, "the next wait");
  consul.index = 1; // another server: it counts anew
  await reloaded(server, async () => consul.set("apps/perigee/channel/namespaces/two", '{"allow_subscribe_for_client":true}'));
  assert.equal(await allowed(server, "two:1"), true);
});

test("what cannot be", async (t) => {
  const file = `${scratch(t)}/config.lua`;
  const port = await freePort();
  const etcd = await startBackend(t, (request, response) => {
    response.end(request.url === "/v3/kv/range" ? '{"header":{"revision":"1"},"kvs":[{"key":"%%%"}]}' : "");
  });
  const consul = await startConsul(t);
  consul.set("perigee/config_source/type", "none");
  consul.set("perigee", "text");
  consul.set("perigee/hooks", '{"connect":1}');
  for (const [source, message] of [
    [`type = "etcd", endpoint = "127.0.0.1:1"`, /config\.lua:1: config_source\.endpoint: must be a URL/],
    [`type = "etcd", endpoint = "http://127.0.0.1:${port}"`, /config_source: etcd at http:\/\/127\.0\.0\.1:\d+: the server cannot be connected to/],
    [`type = "etcd", endpoint = "${etcd.url}"`, /its answer cannot be read/],
    [`type = "etcd", endpoint = "http://x", prefix = "a/"`, /config_source\.prefix: /],
    [`type = "consul", endpoint = "${consul.url}"`, /consul key perigee\/config_source\/type: .*cannot stand in it/],
    [`type = "consul", endpoint = "${consul.url}"`, /consul key perigee: the value of the prefix itself must be a JSON object/],
    [`type = "consul", endpoint = "${consul.url}"`, /consul key perigee\/hooks: hooks.connect: expected a function/],
  ]) {
    writeFileSync(file, `return { config_source = { ${source}, timeout = 2 } }`);
    const { code, stdout } = await run(["check", "-c", file]);
    assert.equal(code, 2, stdout);
    assert.match(stdout, message);
  }
});
