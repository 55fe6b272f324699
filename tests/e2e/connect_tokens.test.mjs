import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { sign, unixNow, userToken } from "./lib/token.mjs";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("connection tokens", async (t) => {
  const server = await startServer(t, { config: { channel: { namespaces: { room: { presence: true } } } } });

  async function connect(token) {
    const client = await server.open();
    const reply = await client.command("connect", { token });
    return { client, reply };
  }

  await t.test("a valid token connects and is told ping, pong and its ttl", async () => {
    const { reply } = await connect(userToken("42"));
    const result = reply.connect;
    assert.match(result.client, UUID);
    assert.ok(result.version.length > 0);
    assert.equal(result.ping, 25);
    assert.equal(result.pong, true);
    assert.equal(result.expires, true);
    assert.ok(result.ttl > 3590 && result.ttl <= 3600, `ttl ${result.ttl}`);
    assert.equal(result.session, undefined);
    assert.equal(result.node, undefined);
    assert.equal(result.time, undefined);
  });

  await t.test("two connections have different ids", async () => {
    const a = await connect(userToken("42"));
    const b = await connect(userToken("42"));
    assert.notEqual(a.reply.connect.client, b.reply.connect.client);
  });

  for (const alg of ["HS256", "HS384", "HS512"]) {
    await t.test(`${alg} is accepted`, async () => {
      const { reply } = await connect(sign({ sub: "42" }, { alg }));
      assert.match(reply.connect.client, UUID);
      assert.equal(reply.connect.expires, undefined, "a token without exp does not expire");
      assert.equal(reply.connect.ttl, undefined);
    });
  }

  await t.test("expire_at 0 makes a connection that does not expire", async () => {
    const { reply } = await connect(sign({ sub: "42", exp: unixNow() + 60, expire_at: 0 }));
    assert.equal(reply.connect.expires, undefined);
    assert.equal(reply.connect.ttl, undefined);
  });

  await t.test("expire_at overrides exp for the connection", async () => {
    const { reply } = await connect(sign({ sub: "42", exp: unixNow() + 60, expire_at: unixNow() + 600 }));
    assert.ok(reply.connect.ttl > 590 && reply.connect.ttl <= 600, `ttl ${reply.connect.ttl}`);
  });

  await t.test("an expiry further away than a year is capped", async () => {
    const { reply } = await connect(sign({ sub: "42", exp: unixNow() + 86400 * 4000 }));
    assert.ok(reply.connect.ttl <= 365 * 86400 && reply.connect.ttl > 365 * 86400 - 60, `ttl ${reply.connect.ttl}`);
  });

  const refused = [
    ["an expired token", { sub: "42", exp: unixNow() - 1 }, 109, "token expired"],
    ["a token that expires now", { sub: "42", exp: unixNow() }, 109, "token expired"],
    ["a token that is not valid yet", { sub: "42", nbf: unixNow() + 100 }, 109, "token expired"],
    ["a connection expiry in the past", { sub: "42", exp: unixNow() + 60, expire_at: unixNow() - 60 }, 110, "expired"],
    ["a channel of an unknown namespace", { sub: "42", channels: ["nosuch:x"] }, 102, "unknown channel"],
  ];
  for (const [what, claims, code, message] of refused) {
    await t.test(`${what} is answered ${code}`, async () => {
      const { reply } = await connect(sign(claims));
      assert.equal(reply.error?.code, code, JSON.stringify(reply));
      assert.equal(reply.error.message, message);
      assert.equal(reply.connect, undefined);
    });
  }

  await t.test("after a refused connect nothing else is done", async () => {
    const { client, reply } = await connect(sign({ sub: "42", exp: 1 }));
    assert.equal(reply.error.code, 109);
    client.send({ id: 2, subscribe: { channel: "news" } });
    const close = await client.closed;
    assert.ok([3501, 1006].includes(close.code), JSON.stringify(close));
    assert.equal(client.inbox.length, 0);
  });

  const good = sign({ sub: "42" });
  const [head, body, mac] = good.split(".");
  const b64 = (text) => Buffer.from(text).toString("base64url");
  const invalid = {
    "signed with another secret": sign({ sub: "42" }, { secret: "something else entirely" }),
    "with a changed payload": `${head}.${b64('{"sub":"43"}')}.${mac}`,
    "with a cut signature": `${head}.${body}.${mac.slice(0, -2)}`,
    "without a signature": `${head}.${body}.`,
    "with two parts": `${head}.${body}`,
    "with four parts": `${good}.${mac}`,
    "of alg none": `${b64('{"alg":"none","typ":"JWT"}')}.${body}.`,
    "of alg None with a signature": sign({ sub: "42" }, { header: { alg: "None" } }),
    "of alg RS256 signed with the HMAC secret": sign({ sub: "42" }, { header: { alg: "RS256" } }),
    "that says HS512 and is signed by HS256": sign({ sub: "42" }, { header: { alg: "HS512" } }),
    "whose alg is a number": sign({ sub: "42" }, { header: { alg: 256 } }),
    "with a channel claim": sign({ sub: "42", channel: "news" }),
    "that is no token": "hello",
    "of dots": "..",
    "whose claims are no JSON": sign("x").replace(body, b64("nonsense")),
    "whose claims are an array": sign(["sub", "42"]),
    "whose sub is a number": sign({ sub: 42 }),
    "whose exp is a string": sign({ sub: "42", exp: "tomorrow" }),
  };
  for (const [what, token] of Object.entries(invalid)) {
    await t.test(`a token ${what} is closed with 3500`, async () => {
      const client = await server.open();
      client.send({ id: 1, connect: { token } });
      await client.expectClose(3500, "invalid token");
      assert.equal(client.inbox.length, 0);
    });
  }

  await t.test("no token is closed with 3501", async () => {
    for (const connect of [{}, { token: "" }, { name: "js", version: "1" }]) {
      const client = await server.open();
      client.send({ id: 1, connect });
      await client.expectClose(3501, "bad request");
    }
  });

  await t.test("the refusal is logged with its cause and without the token", async () => {
    const token = sign({ sub: "logged-user", exp: 5 });
    await connect(token);
    await server.logged(/109|expired/);
    assert.ok(!server.stderr.includes(token), "the log must not hold tokens");
  });
});

test("previous secret, audience and issuer", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { token: { hmac_previous_secret_key: "the-old-secret", audience: "app", issuer: "login" } },
    },
  });
  const connect = async (claims, options) => {
    const client = await server.open();
    client.send({ id: 1, connect: { token: sign(claims, options) } });
    return client;
  };
  const ok = { sub: "42", aud: "app", iss: "login" };

  await t.test("the previous secret still works", async () => {
    const client = await connect(ok, { secret: "the-old-secret" });
    assert.ok((await client.reply(1)).connect.client);
  });
  await t.test("aud may be a list", async () => {
    const client = await connect({ ...ok, aud: ["web", "app"] });
    assert.ok((await client.reply(1)).connect.client);
  });
  for (const [what, claims] of Object.entries({
    "another audience": { ...ok, aud: "other" },
    "another issuer": { ...ok, iss: "other" },
    "no audience": { sub: "42", iss: "login" },
    "no issuer": { sub: "42", aud: "app" },
  })) {
    await t.test(`${what} is closed with 3500`, async () => {
      const client = await connect(claims);
      await client.expectClose(3500);
    });
  }
});

test("tokens without a user", async (t) => {
  const server = await startServer(t, { config: { client: { disallow_anonymous_connection_tokens: true } } });
  const client = await server.open();
  client.send({ id: 1, connect: { token: sign({ info: {} }) } });
  await client.expectClose(3507, "permission denied");
});
