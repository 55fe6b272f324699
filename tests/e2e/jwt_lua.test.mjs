// perigee.jwt next to node's own cryptography: what one signs the other verifies.
import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, sign as signBytes } from "node:crypto";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { startServer } from "./lib/server.mjs";
import { sign as signHmac } from "./lib/token.mjs";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const RPC = `{
  sign = function(_, data) return perigee.jwt.sign(data.claims, data.key, data.options) end,
  verify = function(_, data)
    local claims, why = perigee.jwt.verify(data.token, data.key, data.options)
    return { claims = claims, why = why }
  end,
}`;

const pair = (type, options) => {
  const { publicKey, privateKey } = generateKeyPairSync(type, options);
  return { privateKey, pem: publicKey.export({ type: "spki", format: "pem" }) };
};
const FAMILIES = {
  rsa: { keys: pair("rsa", { modulusLength: 2048 }), algs: { RS256: "sha256", RS512: "sha512" } },
  ecdsa: { keys: pair("ec", { namedCurve: "P-384" }), algs: { ES384: "sha384" } },
  ed25519: { keys: pair("ed25519"), algs: { EdDSA: undefined } },
};

function signWith(family, alg, claims) {
  const text = `${part({ alg })}.${part(claims)}`;
  const { keys, algs } = FAMILIES[family];
  const signature = signBytes(algs[alg], Buffer.from(text), { key: keys.privateKey, dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}

test("perigee.jwt", async (t) => {
  const server = await startServer(t, { config: { rpc: lua(RPC) } });
  const client = await server.connect("ann");
  const rpc = async (method, data) => (await client.call("rpc", { method, data })).data;

  await t.test("signs with HS256, HS384 and HS512", async () => {
    for (const alg of ["HS256", "HS384", "HS512"]) {
      const token = await rpc("sign", { claims: { sub: "ann", n: 1 }, key: "secret", options: { alg } });
      const [header, payload, signature] = token.split(".");
      assert.equal(JSON.parse(Buffer.from(header, "base64url")).alg, alg);
      assert.deepEqual(JSON.parse(Buffer.from(payload, "base64url")), { sub: "ann", n: 1 });
      assert.equal(createHmac(`sha${alg.slice(2)}`, "secret").update(`${header}.${payload}`).digest("base64url"), signature);
    }
  });

  const claims = { sub: 42, aud: "us", roles: ["a"], channels: "not a list" }; // of another service
  await t.test("verifies every family", async () => {
    const token = signHmac(claims, { secret: "secret", alg: "HS384" });
    assert.deepEqual(await rpc("verify", { token, key: "secret", options: { audience: "us" } }), { claims });
    for (const [family, { keys, algs }] of Object.entries(FAMILIES)) {
      for (const alg of Object.keys(algs)) {
        const answer = await rpc("verify", { token: signWith(family, alg, claims), key: { [family]: keys.pem } });
        assert.deepEqual(answer, { claims }, alg);
      }
    }
  });

  await t.test("takes no algorithm but those of the key's family", async () => {
    const { pem } = FAMILIES.rsa.keys;
    // The known confusion: the public key as an HMAC secret.
    const forged = signHmac(claims, { secret: pem });
    const refusal = { why: "the token is not valid" };
    assert.deepEqual(await rpc("verify", { token: forged, key: { rsa: pem } }), refusal);
    assert.deepEqual(await rpc("verify", { token: `${part({ alg: "none" })}.${part(claims)}.`, key: { rsa: pem } }), refusal);
    assert.deepEqual(await rpc("verify", { token: signWith("ecdsa", "ES384", claims), key: { rsa: pem } }), refusal);
    assert.deepEqual(await rpc("verify", { token: signHmac(claims, { secret: "x" }), key: { hmac: "y", rsa: pem } }), refusal);
    await client.refused("rpc", { method: "verify", data: { token: forged, key: pem } }, 100);
    await server.logged(/this is PEM text/);
  });
});
