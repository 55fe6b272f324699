// Tokens whose keys are published by somebody else as a JWKS.
import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, sign as signBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { makeAuthority, startBackend } from "./lib/backend.mjs";
import { run, scratch, startServer, WORKERS } from "./lib/server.mjs";
import { SECRET, sign, unixNow } from "./lib/token.mjs";
import { sleep } from "./lib/wait.mjs";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

const KINDS = {
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  ES384: () => generateKeyPairSync("ec", { namedCurve: "P-384" }),
  EdDSA: () => generateKeyPairSync("ed25519"),
};

/** A key pair: `jwk` to publish, `sign(claims)` for tokens. */
function makeKey(alg, kid, more = {}) {
  const { publicKey, privateKey } = KINDS[alg]();
  const hash = alg === "EdDSA" ? null : `sha${alg.slice(2)}`;
  return {
    jwk: { ...publicKey.export({ format: "jwk" }), kid, use: "sig", ...more },
    sign(claims, header = {}) {
      const signed = `${part({ alg, typ: "JWT", kid, ...header })}.${part(claims)}`;
      const signature = signBytes(hash, Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
      return `${signed}.${signature.toString("base64url")}`;
    },
  };
}

/** A server of sets: `sets[path]` is a JSON value or a handler. */
async function startKeys(t, sets, options) {
  const asked = [];
  const backend = await startBackend(
    t,
    (request, response) => {
      asked.push(request.url);
      const set = sets[request.url];
      if (typeof set === "function") return set(request, response);
      if (!set) return response.writeHead(404).end();
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify(set));
    },
    options,
  );
  return Object.assign(backend, { asked });
}

const jwksServer = (t, token, config = {}, more = {}) =>
  startServer(t, { config: { client: { token: { jwks_public_endpoint: token.endpoint, ...token.more }, ...config.client }, ...config.rest }, ...more });

async function connect(server, token) {
  const client = await server.open();
  client.send({ id: ++client.lastId, connect: { token } });
  return client;
}

async function accepted(server, token) {
  const client = await connect(server, token);
  const reply = await client.reply(1);
  assert.ok(reply.connect?.client, JSON.stringify(reply));
  return client;
}

async function invalid(server, token) {
  const client = await connect(server, token);
  await client.expectClose(3500, "invalid token");
}

async function temporary(server, token) {
  const client = await connect(server, token);
  const reply = await client.reply(1);
  assert.deepEqual(reply.error, { code: 100, message: "internal server error", temporary: true });
}

test("every family of keys", async (t) => {
  const keys = Object.keys(KINDS).map((alg) => makeKey(alg, `key-${alg}`));
  const noUse = makeKey("ES256", "no-use", { use: undefined });
  const forEncryption = makeKey("ES256", "enc", { use: "enc" });
  const onlyRs512 = makeKey("RS256", "rs512", { alg: "RS512" });
  const oct = { kty: "oct", kid: "oct", use: "sig", k: Buffer.from(SECRET).toString("base64url") };
  const broken = { kty: "EC", crv: "P-256", kid: "broken", use: "sig", x: "AA", y: "AA" };
  const keyServer = await startKeys(t, {
    "/keys": { keys: [...keys, noUse, forEncryption, onlyRs512].map(({ jwk }) => jwk).concat([oct, broken, 7, {}]) },
  });
  const server = await jwksServer(t, { endpoint: `${keyServer.url}/keys` });

  for (const key of keys) {
    await t.test(`${key.jwk.kid} is accepted`, () => accepted(server, key.sign({ sub: "42", exp: unixNow() + 60 })));
  }
  await t.test("the set is fetched once per worker", async () => {
    for (let i = 0; i < 20; i += 1) await accepted(server, keys[i % keys.length].sign({ sub: "42" }));
    assert.ok(keyServer.asked.length <= WORKERS, `${keyServer.asked.length} fetches`);
  });
  await t.test("time and claims are looked at as ever", async () => {
    const client = await connect(server, keys[0].sign({ sub: "42", exp: unixNow() }));
    assert.equal((await client.reply(1)).error.code, 109);
    await invalid(server, keys[0].sign({ sub: "42", channel: "x" }));
  });
  await t.test("a static key is ignored", () => invalid(server, sign({ sub: "42" })));
  await t.test("a token without kid is invalid", () => invalid(server, keys[0].sign({ sub: "42" }, { kid: undefined })));
  await t.test("another key's signature is invalid", () => invalid(server, makeKey("RS256", "key-RS256").sign({ sub: "42" })));
  await t.test("another family is invalid", () => invalid(server, keys[0].sign({ sub: "42" }, { kid: "key-ES256" })));
  await t.test("a key that is not for signatures, or for another algorithm, is none", async () => {
    await invalid(server, onlyRs512.sign({ sub: "42" }));
    const all = [noUse, forEncryption].map((key) => invalid(server, key.sign({ sub: "42" })));
    await Promise.all(all);
  });
  await t.test("a symmetric key is refused", () =>
    invalid(server, sign({ sub: "42" }, { header: { kid: "oct" } })),
  );
  await t.test("none, and HS256 with the public key, are refused", async () => {
    const unsigned = `${part({ alg: "none", kid: "key-RS256" })}.${part({ sub: "42" })}.`;
    await invalid(server, unsigned);
    const signed = `${part({ alg: "HS256", kid: "key-RS256" })}.${part({ sub: "42" })}`;
    const mac = createHmac("sha256", JSON.stringify(keys[0].jwk)).update(signed).digest("base64url");
    await invalid(server, `${signed}.${mac}`);
  });
  await t.test("jku, x5u and jwk in the header are not followed", async () => {
    const own = makeKey("ES256", "own");
    const evil = await startKeys(t, { "/evil": { keys: [own.jwk] } });
    await invalid(server, own.sign({ sub: "42" }, { kid: "key-ES256", jku: `${evil.url}/evil`, x5u: `${evil.url}/evil`, jwk: own.jwk }));
    assert.equal(evil.asked.length, 0);
  });
  await t.test("a kid that is no kid asks nobody", async () => {
    const before = keyServer.asked.length;
    await invalid(server, keys[0].sign({ sub: "42" }, { kid: "k".repeat(10000) }));
    await invalid(server, keys[0].sign({ sub: "42" }, { kid: 7 }));
    assert.equal(keyServer.asked.length, before);
  });
});

test("rotation: unknown keys are looked for, but not at every token's will", async (t) => {
  const old = makeKey("ES256", "old");
  const young = makeKey("ES256", "young");
  const sets = { "/keys": { keys: [old.jwk] } };
  const keyServer = await startKeys(t, sets);
  const server = await jwksServer(t, { endpoint: `${keyServer.url}/keys` });

  await accepted(server, old.sign({ sub: "1" }));
  sets["/keys"] = { keys: [young.jwk] };
  const before = keyServer.asked.length;
  const start = Date.now();
  const strangers = Array.from({ length: 30 }, (_, i) => invalid(server, makeKey("EdDSA", `../../etc/${i}`).sign({ sub: "1" })));
  await accepted(server, young.sign({ sub: "1" }));
  await Promise.all(strangers);
  const asked = keyServer.asked.length - before;
  const rounds = 2 + Math.floor((Date.now() - start) / 3000);
  assert.ok(asked <= WORKERS * rounds, `${asked} fetches for 31 unknown keys`);
  if (WORKERS === 1) await invalid(server, old.sign({ sub: "1" }));
});

test("one fetch for many who wait, commands behind it in order, others served", async (t) => {
  const key = makeKey("ES256", "k");
  const keyServer = await startKeys(t, {
    "/slow": (request, response) => setTimeout(() => response.end(JSON.stringify({ keys: [key.jwk] })), 600),
  });
  const server = await jwksServer(t, { endpoint: `${keyServer.url}/slow` }, {
    client: { allow_anonymous_connect_without_token: true },
    rest: { channel: { without_namespace: { allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true } } },
  });
  const waiting = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const client = await server.open();
      client.send(`{"id":1,"connect":{"token":"${key.sign({ sub: `u${i}` })}"}}\n{"id":2,"subscribe":{"channel":"a"}}`);
      return client;
    }),
  );
  const gone = await server.open();
  gone.send({ id: 1, connect: { token: key.sign({ sub: "gone" }) } });
  await sleep(50);
  gone.destroy();
  const start = Date.now();
  const anonymous = await server.connect(null);
  await anonymous.subscribe("b");
  assert.ok(Date.now() - start < 400, "a client without a token waits for nothing");
  for (const client of waiting) {
    assert.ok((await client.reply(1)).connect.client);
    assert.ok((await client.reply(2)).subscribe);
    assert.deepEqual(client.log.filter(({ message }) => message.id).map(({ message }) => message.id), [1, 2]);
  }
  assert.ok(keyServer.asked.length <= WORKERS, `${keyServer.asked.length} fetches`);
});

test("subscribe, refresh and sub_refresh wait for their keys too", async (t) => {
  const connection = makeKey("RS256", "c");
  const subscription = makeKey("ES256", "s");
  const slow = (key) => (request, response) => setTimeout(() => response.end(JSON.stringify({ keys: [key.jwk] })), 100);
  const keyServer = await startKeys(t, { "/c": { keys: [connection.jwk] }, "/s": slow(subscription) });
  const server = await startServer(t, {
    config: {
      client: {
        token: { jwks_public_endpoint: `${keyServer.url}/c` },
        subscription_token: { enabled: true, jwks_public_endpoint: `${keyServer.url}/s` },
      },
    },
  });
  const exp = unixNow() + 3600;
  const client = await accepted(server, connection.sign({ sub: "ann", exp }));
  await client.call("subscribe", { channel: "$secret", token: subscription.sign({ sub: "ann", channel: "$secret", exp }) });
  await client.call("sub_refresh", { channel: "$secret", token: subscription.sign({ sub: "ann", channel: "$secret", exp }) });
  await client.call("refresh", { token: connection.sign({ sub: "ann", exp }) });
  await client.refused("subscribe", { channel: "$other", token: connection.sign({ sub: "ann", channel: "$other", exp }, { kid: "s" }) }, 103);
});

test("a server of keys that fails is answered with a temporary error, and logged", async (t) => {
  const key = makeKey("ES256", "k");
  const sets = {};
  const keyServer = await startKeys(t, sets);
  const server = await jwksServer(t, { endpoint: `${keyServer.url}/keys?secret=hidden` });
  const path = "/keys?secret=hidden";
  const token = key.sign({ sub: "1" });
  const failures = {
    "status 500": (request, response) => response.writeHead(500).end(),
    "not JSON": (request, response) => response.end("<html>"),
    "no keys": (request, response) => response.end("{}"),
    "a redirect": (request, response) => response.writeHead(302, { Location: "/elsewhere" }).end(),
    "a reset": (request) => request.socket.resetAndDestroy(),
    "1 GB": (request, response) => {
      response.writeHead(200, { "Content-Length": 1 << 30 });
      response.write("x".repeat(1 << 20));
    },
    "endless": (request, response) => {
      response.on("error", () => {});
      const piece = Buffer.alloc(1 << 16, " ");
      const more = () => response.destroyed || response.write(piece, () => setImmediate(more));
      more();
    },
    "no answer": () => {},
  };
  sets["/elsewhere"] = { keys: [key.jwk] };
  for (const [name, handler] of Object.entries(failures)) {
    await t.test(name, async () => {
      sets[path] = handler;
      await temporary(server, token);
      await sleep(1050);
    });
  }
  assert.ok(!keyServer.asked.includes("/elsewhere"), "a redirect is not followed");
  const line = (await server.logged(/^.*a JWKS cannot be fetched.*$/m))[0];
  assert.match(line, /client\.token\.jwks_public_endpoint/);
  assert.match(line, /cause/);
  assert.doesNotMatch(server.stderr, /hidden/);
  await t.test("and when it works again, so do tokens", async () => {
    sets[path] = { keys: [key.jwk] };
    await accepted(server, token);
  });
});

test("two tenants with the same kid do not share a key", async (t) => {
  const red = makeKey("ES256", "k1");
  const blue = makeKey("ES256", "k1");
  const keyServer = await startKeys(t, { "/red/keys": { keys: [red.jwk] }, "/blue/keys": { keys: [blue.jwk] } });
  const server = await jwksServer(t, {
    endpoint: `${keyServer.url}/{{tenant}}/keys`,
    more: { issuer_regex: "^https://(?P<tenant>red|blue)\\.id\\.test$" },
  });
  const claims = (tenant) => ({ sub: "1", iss: `https://${tenant}.id.test` });
  await accepted(server, red.sign(claims("red")));
  await accepted(server, blue.sign(claims("blue")));
  await invalid(server, red.sign(claims("blue")));
  await invalid(server, blue.sign(claims("red")));
  const before = keyServer.asked.length;
  await invalid(server, red.sign(claims("green")));
  await invalid(server, red.sign(claims("red.id.test/../blue")));
  await invalid(server, red.sign({ sub: "1" }));
  assert.equal(keyServer.asked.length, before, "foreign issuers cause no request");
});

test("the audience may choose the endpoint", async (t) => {
  const key = makeKey("EdDSA", "k1");
  const keyServer = await startKeys(t, { "/keys/app-2": { keys: [key.jwk] } });
  const server = await jwksServer(t, {
    endpoint: `${keyServer.url}/keys/{{app}}`,
    more: { audience_regex: "^(?:svc|app):(?P<app>app-1|app-2)$" },
  });
  await accepted(server, key.sign({ sub: "1", aud: ["other", "app:app-2"] }));
  await invalid(server, key.sign({ sub: "1", aud: "app-2" }));
});

test("an unsafe group cannot leave its place even when the check is off", async (t) => {
  const key = makeKey("ES256", "k1");
  const keyServer = await startKeys(t, { "/t/a/keys": { keys: [key.jwk] } });
  const server = await jwksServer(t, {
    endpoint: `${keyServer.url}/t/{{tenant}}/keys`,
    more: { issuer_regex: "^(?P<tenant>.*)$", insecure_skip_jwks_endpoint_safety_check: true },
  });
  await server.logged(/claims that nobody has verified.*insecure_skip_jwks_endpoint_safety_check/);
  await accepted(server, key.sign({ sub: "1", iss: "a" }));
  const before = keyServer.asked.length;
  for (const iss of ["..", ".", "a/../b", "", "x?y", "x#", "%2e%2e", "a\nb", "é", "@evil.test"]) {
    await invalid(server, key.sign({ sub: "1", iss }));
  }
  assert.equal(keyServer.asked.length, before);
});

test("over HTTPS, verified", async (t) => {
  const key = makeKey("ES256", "k1");
  const authority = makeAuthority(scratch(t));
  const stranger = makeAuthority(scratch(t));
  const good = await startKeys(t, { "/keys": { keys: [key.jwk] } }, { tls: authority.issue("DNS:localhost") });
  const bad = await startKeys(t, { "/keys": { keys: [key.jwk] } }, { tls: stranger.issue("DNS:localhost") });
  const env = { SSL_CERT_FILE: authority.path };
  const server = await jwksServer(t, { endpoint: `${good.named}/keys` }, {}, { env });
  await accepted(server, key.sign({ sub: "1" }));
  const other = await jwksServer(t, { endpoint: `${bad.named}/keys` }, {}, { env });
  await temporary(other, key.sign({ sub: "1" }));
  assert.equal(bad.asked.length, 0);
});

test("a server that stops does not wait for keys", async (t) => {
  const key = makeKey("ES256", "k1");
  const keyServer = await startKeys(t, { "/never": () => {} });
  const server = await jwksServer(t, { endpoint: `${keyServer.url}/never` });
  const client = await connect(server, key.sign({ sub: "1" }));
  await sleep(100);
  const start = Date.now();
  server.kill("SIGTERM");
  await client.expectClose(3001);
  assert.deepEqual(await server.exit, { code: 0, signal: null });
  assert.ok(Date.now() - start < 1500);
});

test("unsafe endpoints are refused at start", async (t) => {
  const folder = scratch(t);
  const file = join(folder, "config.lua");
  const check = async (token) => {
    const rows = Object.entries(token).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
    writeFileSync(file, `return { client = { token = { ${rows.join(", ")} } } }\n`);
    return run(["check", "-c", file], { cwd: folder });
  };
  const endpoint = "https://{{tenant}}.id.test/keys";
  const good = [
    { jwks_public_endpoint: "https://id.test/keys?a=b" },
    { jwks_public_endpoint: endpoint, issuer_regex: "^https://(?P<tenant>red|blue-2)[.]id$".replace("[.]", "\\.") },
    { jwks_public_endpoint: endpoint, issuer_regex: "(?P<tenant>.*)", insecure_skip_jwks_endpoint_safety_check: true },
  ];
  for (const token of good) {
    const { code, stdout, stderr } = await check(token);
    assert.equal(code, 0, JSON.stringify(token) + stdout + stderr);
  }
  const bad = [
    [{ jwks_public_endpoint: "ftp://x/keys" }, /not an http or https URL/],
    [{ jwks_public_endpoint: "https://u:p@x/keys" }, /not an http or https URL/],
    [{ jwks_public_endpoint: "https://x/{{tenant/keys" }, /written \{\{name\}\}/],
    [{ jwks_public_endpoint: endpoint }, /no named group/],
    [{ jwks_public_endpoint: endpoint, issuer_regex: "(?P<other>a|b)" }, /no named group/],
    [{ jwks_public_endpoint: endpoint, issuer_regex: "(?P<tenant>.*)" }, /must list words/],
    [{ jwks_public_endpoint: endpoint, issuer_regex: "(?P<tenant>[a-z]+)" }, /not safe/],
    [{ jwks_public_endpoint: endpoint, issuer_regex: "(?P<tenant>\\w+)" }, /not safe/],
    [{ jwks_public_endpoint: endpoint, issuer_regex: "(?P<tenant>red|)" }, /empty alternative/],
    [{ jwks_public_endpoint: endpoint, issuer_regex: "(?P<tenant>red|blue)+" }, /repeated/],
    [{ jwks_public_endpoint: endpoint, issuer_regex: "(?P<tenant>red|blue.test)" }, /must list words/],
    [{ jwks_public_endpoint: endpoint, issuer_regex: "(?P<tenant>red|(blue))" }, /must list words/],
    [{ jwks_public_endpoint: endpoint, issuer_regex: "\\d(?P<tenant>red|blue)" }, /not safe/],
  ];
  for (const [token, message] of bad) {
    const { code, stdout, stderr } = await check(token);
    assert.equal(code, 2, JSON.stringify(token) + stdout + stderr);
    assert.match(stdout + stderr, message, JSON.stringify(token));
  }
});
