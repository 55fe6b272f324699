import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { userToken } from "./lib/token.mjs";

const NAMESPACES = {
  open: { allow_subscribe_for_client: true },
  anon: { allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true },
  anononly: { allow_subscribe_for_anonymous: true },
  closed: {},
  users: { allow_user_limited_channels: true },
  usersopen: { allow_user_limited_channels: true, allow_subscribe_for_client: true },
  "na.me_-1": { allow_subscribe_for_client: true },
};
const LONG = 255;
const OK = 0;

// who ("" is anonymous), channel, expected error (OK: subscribed), why
const ROWS = [
  ["42", "open:x", OK, "allowed for clients"],
  ["42", "open:a:b:c", OK, "only the first boundary counts"],
  ["42", "na.me_-1:x", OK, "every character of a namespace name"],
  ["42", "plain", OK, "the options without a namespace"],
  ["42", ":x", OK, "the empty namespace name means none"],
  ["42", "anon:x", OK, "allowed for anonymous ones and clients"],
  ["42", "anononly:x", 103, "the anonymous flag alone grants nothing"],
  ["42", "closed:x", 103, "everything is off by default"],
  ["42", "nosuch:x", 102, "no such namespace"],
  ["42", "OPEN:x", 102, "names are case-sensitive"],
  ["42", "$open:x", 103, "private and no token"],
  ["42", "$plain", 103, "private and no token"],
  ["42", "$nosuch:x", 102, "the namespace is looked for first"],
  ["42", "users:dialog#42", OK, "the user is listed"],
  ["42", "users:dialog#7,42", OK, "listed second"],
  ["42", "users:dialog#42,7", OK, "listed first"],
  ["42", "users:a#7#42", OK, "after the last boundary"],
  ["42", "users:a#42#7", 103, "not after the last boundary"],
  ["42", "users:dialog#7", 103, "not listed"],
  ["42", "users:dialog#4", 103, "a prefix is not the user"],
  ["42", "users:dialog#421", 103, "nor is a longer id"],
  ["42", "users:dialog#1,,2", 103, "empty list elements"],
  ["42", "users:dialog", 103, "no list, and nothing else allows it"],
  ["42", "usersopen:dialog", OK, "no list: the ordinary permission"],
  ["42", "usersopen:dialog#7", 103, "a list that does not name the user denies"],
  ["42", "open:x#7", OK, "user-limited channels are off: # is a character"],
  ["42", `open:${"x".repeat(LONG - 5)}`, OK, "255 bytes"],
  ["42", `open:${"x".repeat(LONG - 4)}`, 107, "256 bytes"],
  ["42", "x".repeat(60000), 107, "60 000 bytes"],
  ["42", "open:grüße", 107, "not ASCII"],
  ["42", "nosuch:grüße", 102, "the namespace is looked for before the name is"],
  ["42", "open:a b\tc", OK, "white space is ASCII"],
  ["42", "open:*&/'\"\\%", OK, "so is punctuation"],
  ["", "anon:x", OK, "anonymous ones are allowed"],
  ["", "open:x", 103, "anonymous ones are not"],
  ["", "anononly:x", 103, "the anonymous flag alone grants nothing"],
  ["", "closed:x", 103, "everything is off by default"],
  ["", "users:x#42", 103, "not listed"],
  ["", "$anon:x", 103, "private and no token"],
];

test("who may subscribe", async (t) => {
  const server = await startServer(t, {
    config: {
      client: { allow_anonymous_connect_without_token: true },
      channel: { namespaces: NAMESPACES },
    },
  });
  for (const [user, channel, code, why] of ROWS) {
    const name = channel.length > 40 ? `${channel.slice(0, 20)}… (${channel.length})` : channel;
    await t.test(`${user || "anonymous"} ${name}: ${code || "allowed"} (${why})`, async () => {
      const client = await server.open();
      await client.call("connect", user === "" ? {} : { token: userToken(user) });
      const reply = await client.command("subscribe", { channel });
      if (code === OK) {
        assert.deepEqual(reply.subscribe, {}, JSON.stringify(reply));
      } else {
        assert.equal(reply.error?.code, code, JSON.stringify(reply));
      }
      await client.assertAlive();
    });
  }

  await t.test("a refusal is logged with user, channel, cause and option", async () => {
    const client = await server.connect("logged-user");
    await client.refused("subscribe", { channel: "closed:logged" }, 103);
    const [line] = await server.logged(/^.*closed:logged.*$/m);
    const entry = JSON.parse(line);
    assert.equal(entry.level, "info");
    assert.equal(entry.user, "logged-user");
    assert.equal(entry.channel, "closed:logged");
    assert.ok(entry.cause && entry.message && entry.time, line);
    assert.match(entry.option, /allow_subscribe_for_client/);
  });
});

test("who may subscribe in insecure mode", async (t) => {
  const server = await startServer(t, { config: { client: { insecure: true }, channel: { namespaces: NAMESPACES } } });
  const client = await server.connect(null);
  for (const [channel, code] of [
    ["closed:x", OK],
    ["anononly:x", OK],
    ["users:x#7", OK],
    ["$open:x", 103],
    ["nosuch:x", 102],
  ]) {
    await t.test(`${channel}: ${code || "allowed"}`, async () => {
      if (code === OK) await client.subscribe(channel);
      else await client.refused("subscribe", { channel }, code);
    });
  }
});
