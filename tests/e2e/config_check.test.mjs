import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { run, scratch } from "./lib/server.mjs";

// name, config.lua, what must be printed (the line in front: FILE:LINE)
const BAD = [
  ["an unknown key", 'return {\n  htp_server = { port = 1 },\n}', 2, /htp_server.*did you mean.*http_server/s],
  ["an unknown nested key", 'return {\n  client = {\n    token = {\n      hmac_secret = "x",\n    },\n  },\n}', 4, /client\.token\.hmac_secret\b.*hmac_secret_key/s],
  ["an unknown channel option", "return {\n  channel = { without_namespace = {\n    history_sise = 1 } },\n}", 3, /history_sise.*history_size/s],
  ["an unknown option of a namespace", "return {\n  channel = { namespaces = { chat = {\n    presense = true,\n  } } },\n}", 3, /chat\.presense.*presence/s],
  ["a string for a number", 'return {\n  http_server = { port = "abc" },\n}', 2, /http_server\.port/],
  ["a number for a flag", "return {\n  health = { enabled = 1 },\n}", 2, /health\.enabled/],
  ["a flag for a table", "return {\n  client = true,\n}", 2, /client\b/],
  ["a port out of range", "return {\n  http_server = { port = 70000 },\n}", 2, /http_server\.port.*65535/s],
  ["a bad duration", 'return {\n  client = { ping_interval = "25 apples" },\n}', 2, /client\.ping_interval/],
  ["a negative duration", "return {\n  shutdown = { timeout = -1 },\n}", 2, /shutdown\.timeout/],
  ["a bad size", 'return {\n  lua = { memory_limit = "lots" },\n}', 2, /lua\.memory_limit/],
  ["an unknown word", 'return {\n  log = { level = "loud" },\n}', 2, /log\.level.*info/s],
  ["a pong time-out over the ping interval", "return {\n  client = { ping_interval = 5, pong_timeout = 8 },\n}", null, /ping_interval.*pong_timeout|pong_timeout.*ping_interval/s],
  ["history_size without history_ttl", "return {\n  channel = { without_namespace = { history_size = 5 } },\n}", null, /history_ttl/],
  ["history_ttl without history_size", 'return {\n  channel = { namespaces = { chat = { history_ttl = "1m" } } },\n}', null, /chat.*history_size/s],
  ["force_recovery without history", "return {\n  channel = { namespaces = { chat = { force_recovery = true } } },\n}", null, /chat.*force_recovery.*history/s],
  ["a meta time below the history's", 'return {\n  channel = { without_namespace = { history_size = 1, history_ttl = "10m", history_meta_ttl = "1m" } },\n}', null, /history_meta_ttl/],
  ["a fraction of a second as history_ttl", 'return {\n  channel = { without_namespace = { history_size = 1, history_ttl = "1500ms" } },\n}', null, /history_ttl/],
  ["forced join and leave without any", "return {\n  channel = { without_namespace = { force_push_join_leave = true } },\n}", null, /join_leave/],
  ["a bad namespace name", "return {\n  channel = { namespaces = { [\"a b\"] = {} } },\n}", null, /a b/],
  ["a short namespace name", "return {\n  channel = { namespaces = { a = {} } },\n}", null, /namespaces/],
  ["namespaces as a list", 'return {\n  channel = { namespaces = { { name = "chat" } } },\n}', null, /namespaces/],
  ["an unknown hook", "return {\n  hooks = { subscrib = function() end },\n}", 2, /hooks\.subscrib\b.*subscribe/s],
  ["a hook that is no function", 'return {\n  hooks = { subscribe = "yes" },\n}', 2, /hooks\.subscribe/],
  ["an rpc method that is no function", "return {\n  rpc = { time = 5 },\n}", 2, /rpc\.time/],
  ["an option that does not exist yet", "return {\n  sse = { enabled = true },\n}", 2, /sse\.enabled/],
  ["a proxy", 'return {\n  client = { proxy = { connect = { enabled = true } } },\n}', null, /client\.proxy.*hook/s],
  ["a syntax error", "return {\n  client = {\n", null, /config\.lua:\d+:/],
  ["an exception", 'return {\n  node = { name = nil .. "x" },\n}', 2, /concatenate/],
  ["an unknown global", "return {\n  node = { name = undefined_name },\n}", 2, /undefined_name/],
  ["no table", 'return "yes"', null, /table/],
  ["nothing returned", "local x = 1", null, /table/],
  ["an endless loop", "while true do end", null, /config\.lua/],
  ["bytecode", "\x1bLua", null, /config\.lua|binary|bytecode/],
];

const GOOD = {
  "an empty table": "return {}",
  "durations as numbers and words": 'return { client = { ping_interval = 30, pong_timeout = "8s", stale_close_delay = "1m30s" } }',
  "every kind of value": `local perigee = require "perigee"
return {
  http_server = { address = "127.0.0.1", port = 8000 },
  workers = "auto",
  http_api = { key = os.getenv "NO_SUCH_VARIABLE" },
  client = { allowed_origins = { "https://example.com" }, token = { hmac_secret_key = "x" } },
  channel = { namespaces = { chat = { presence = true, history_size = 1, history_ttl = "10m", force_recovery = true,
    hooks = { subscribe = function(client, req) return perigee.error(103, "permission denied") end } } } },
  rpc = { time = function(client, data) return { now = perigee.now() } end },
  api = { kick = function(params) return {} end },
}`,
};

test("perigee check", async (t) => {
  const folder = scratch(t);
  const file = join(folder, "config.lua");
  const check = async (source, args = [], env = {}) => {
    writeFileSync(file, source, "latin1");
    const answer = await run(["check", "-c", file, ...args], { cwd: folder, env });
    return { ...answer, text: answer.stdout + answer.stderr };
  };

  for (const [name, source] of Object.entries(GOOD)) {
    await t.test(`${name}: exit 0`, async () => {
      const answer = await check(source);
      assert.equal(answer.code, 0, answer.text);
    });
  }

  for (const [name, source, line, pattern] of BAD) {
    await t.test(`${name}: exit 2 and a message`, async () => {
      const answer = await check(source);
      assert.equal(answer.code, 2, answer.text);
      assert.match(answer.text, pattern);
      if (line !== null) assert.match(answer.text, new RegExp(`config\\.lua:${line}: `));
    });
  }

  await t.test("every problem is named, each on its line", async () => {
    const { text, code } = await check('return {\n  htp = {},\n  health = { enabled = "x" },\n  log = { lvl = 1 },\n}');
    assert.equal(code, 2);
    for (const place of [/config\.lua:2: htp\b/, /config\.lua:3: health\.enabled\b/, /config\.lua:4: log\.lvl\b/]) assert.match(text, place);
  });

  await t.test("what is allowed but dangerous is a warning: exit 0", async () => {
    const { text, code } = await check("return {\n  client = { insecure = true },\n  lua = { path = { '.' } },\n}");
    assert.equal(code, 0);
    assert.match(text, /config\.lua:2: client\.insecure: warning: /);
    assert.match(text, /config\.lua: ok\n$/);
  });

  await t.test("a folder of lua.path that is not there: exit 2", async () => {
    const { text, code } = await check('return {\n  lua = { path = { "nosuch" } },\n}');
    assert.equal(code, 2);
    assert.match(text, /config\.lua:2: lua\.path: there is no readable folder ".*nosuch"/);
  });

  await t.test("a private key where a public one belongs: exit 2, and nothing of it is shown", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writeFileSync(join(folder, "key.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
    const { text, code } = await check('return {\n  client = { token = { ecdsa_public_key = "key.pem" } },\n}');
    assert.equal(code, 2);
    assert.match(text, /config\.lua:2: client\.token\.ecdsa_public_key: is a private key/);
    assert.doesNotMatch(text, /BEGIN/);
  });

  await t.test("serve refuses the same with exit 2", async () => {
    writeFileSync(file, "return { htp = {} }");
    const answer = await run(["serve", "-c", file], { cwd: folder });
    assert.equal(answer.code, 2);
    assert.match(answer.stderr, /htp/);
  });

  await t.test("a file that is not there: exit 2", async () => {
    const answer = await run(["check", "-c", join(folder, "nosuch.lua")]);
    assert.equal(answer.code, 2);
    assert.match(answer.stdout + answer.stderr, /nosuch\.lua/);
  });

  await t.test("--set and the environment are checked too", async () => {
    assert.equal((await check("return {}", ["--set", "http_server.port=9000"])).code, 0);
    const set = await check("return {}", ["--set", "http_server.prt=9000"]);
    assert.equal(set.code, 2);
    assert.match(set.text, /prt.*port/s);
    const env = await check("return {}", [], { PERIGEE_HTTP_SERVER_PORT: "many" });
    assert.equal(env.code, 2);
    assert.match(env.text, /http_server\.port|PERIGEE_HTTP_SERVER_PORT/);
    assert.equal((await check("return {}", [], { PERIGEE_CLIENT_ALLOWED_ORIGINS: "https://a.test https://b.test" })).code, 0);
  });

  await t.test("secrets are not printed", async () => {
    const { text } = await check('return { client = { token = { hmac_secret_key = { "very-secret" } } } }');
    assert.ok(!text.includes("very-secret"), text);
  });
});
