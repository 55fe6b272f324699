import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, sign as signWith } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { run, scratch, startServer } from "./lib/server.mjs";
import { sign, unixNow } from "./lib/token.mjs";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const HASH = (alg) => `sha${alg.slice(2)}`;

/** A token signed with a private key. */
function signed(alg, key, claims, { der = false } = {}) {
  const text = `${part({ alg, typ: "JWT" })}.${part(claims)}`;
  const options = alg.startsWith("ES") ? { key, dsaEncoding: der ? "der" : "ieee-p1363" } : { key };
  return `${text}.${signWith(HASH(alg), Buffer.from(text), options).toString("base64url")}`;
}

const pem = (key) => key.export({ type: "spki", format: "pem" });
const claims = () => ({ sub: "ann", exp: unixNow() + 600 });

async function accepted(server, token) {
  const client = await server.open();
  assert.ok((await client.call("connect", { token })).client);
}

async function denied(server, token) {
  const client = await server.open();
  client.send({ id: 1, connect: { token } });
  await client.expectClose(3500, "invalid token");
}

test("RSA and ECDSA keys", async (t) => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ec384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const server = await startServer(t, {
    config: { client: { token: { hmac_secret_key: "", rsa_public_key: pem(rsa.publicKey), ecdsa_public_key: pem(ec.publicKey) } } },
  });

  for (const alg of ["RS256", "RS384", "RS512"]) {
    await t.test(`${alg} is accepted`, () => accepted(server, signed(alg, rsa.privateKey, claims())));
  }
  await t.test("ES256 is accepted", () => accepted(server, signed("ES256", ec.privateKey, claims())));
  await t.test("a key of another curve is not", async () => {
    await denied(server, signed("ES256", ec384.privateKey, claims()));
    await denied(server, signed("ES384", ec384.privateKey, claims()));
  });
  await t.test("a DER signature is not", () => denied(server, signed("ES256", ec.privateKey, claims(), { der: true })));
  await t.test("somebody else's RSA key is not", async () => {
    const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
    await denied(server, signed("RS256", other.privateKey, claims()));
  });
  await t.test("HMAC over the public key's text is not", async () => {
    for (const secret of [pem(rsa.publicKey), pem(ec.publicKey), ""]) {
      const text = `${part({ alg: "HS256" })}.${part(claims())}`;
      await denied(server, `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`);
    }
  });
  await t.test("none is not", async () => {
    for (const alg of ["none", "None", "NONE"]) await denied(server, `${part({ alg })}.${part(claims())}.`);
  });
  await t.test("an expired one is answered 109", async () => {
    const client = await server.open();
    const token = signed("RS256", rsa.privateKey, { sub: "ann", exp: unixNow() - 10 });
    await client.refused("connect", { token }, 109);
  });
});

test("subscription tokens with an RSA key of their own", async (t) => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const server = await startServer(t, {
    config: { client: { subscription_token: { enabled: true, rsa_public_key: pem(rsa.publicKey) } } },
  });
  const client = await server.connect("ann");
  const token = signed("RS256", rsa.privateKey, { ...claims(), channel: "$own" });
  await client.subscribe("$own", { token });
  await client.refused("subscribe", { channel: "$two", token: sign({ sub: "ann", channel: "$two" }) }, 103);
});

test("claims that must match a pattern", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { token: { issuer_regex: "^https://(red|blue)\\.test$", audience_regex: "^chat-", user_id_claim: "uid" } },
    },
  });
  const good = { iss: "https://red.test", aud: ["other", "chat-1"], uid: 42 };
  await t.test("are accepted, and the user comes from its claim", async () => {
    await accepted(server, sign(good));
    const client = await server.open();
    await client.call("connect", { token: sign(good) });
    assert.equal((await server.call("info")).nodes[0].num_users, 1);
  });
  await t.test("are refused otherwise", async () => {
    await denied(server, sign({ ...good, iss: "https://green.test" }));
    await denied(server, sign({ ...good, iss: undefined }));
    await denied(server, sign({ ...good, aud: "mail-1" }));
  });
});

test("keys that cannot be read are errors of the configuration", async (t) => {
  const folder = scratch(t);
  const file = join(folder, "config.lua");
  for (const [option, value] of [
    ["rsa_public_key", "no key at all"],
    ["ecdsa_public_key", "-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----"],
    ["issuer_regex", "("],
  ]) {
    await t.test(option, async () => {
      writeFileSync(file, `return { client = { token = { ${option} = "${value}" } } }`);
      const answer = await run(["check", "-c", file]);
      assert.equal(answer.code, 2, answer.stdout + answer.stderr);
      assert.match(answer.stdout, new RegExp(`client\\.token\\.${option}`));
    });
  }
});
