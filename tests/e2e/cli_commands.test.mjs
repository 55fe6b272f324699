import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { run, scratch, startServer } from "./lib/server.mjs";
import { unixNow } from "./lib/token.mjs";

test("the command line", async (t) => {
  const folder = scratch(t);
  const file = join(folder, "config.lua");
  writeFileSync(file, 'return { client = { token = { hmac_secret_key = "cli-secret" } } }');
  const claimsOf = (token) => {
    const [head, body, mac] = token.split(".");
    assert.equal(createHmac("sha256", "cli-secret").update(`${head}.${body}`).digest("base64url"), mac);
    return JSON.parse(Buffer.from(body, "base64url"));
  };

  await t.test("version", async () => {
    for (const args of [["version"], ["--version"]]) {
      const answer = await run(args);
      assert.equal(answer.code, 0);
      assert.match(answer.stdout, /\d+\.\d+\.\d+/);
    }
  });
  await t.test("help names every command", async () => {
    for (const args of [["help"], ["--help"], ["-h"]]) {
      const answer = await run(args);
      assert.equal(answer.code, 0);
      for (const word of ["serve", "dev", "check", "explain", "gentoken", "gensubtoken", "version", "help"]) {
        assert.match(answer.stdout, new RegExp(`\\b${word}\\b`));
      }
    }
  });
  await t.test("help of every command says how to use it and what else it takes", async () => {
    const { stdout } = await run(["help"]);
    const names = [...stdout.matchAll(/^ {2}perigee (\w+)/gm)].map(([, name]) => name);
    assert.ok(names.length >= 11);
    for (const name of names) {
      const help = await run(["help", name]);
      assert.equal(help.code, 0);
      assert.ok(help.stdout.startsWith(`usage: perigee ${name}`), help.stdout);
      if (!["version", "help"].includes(name)) assert.match(help.stdout, /\n\n {2}-|\n\n {6}--/, name);
    }
    assert.equal((await run(["gentoken", "--help"])).stdout, (await run(["help", "gentoken"])).stdout);
    assert.equal((await run(["help", "nosuch"])).code, 2);
  });
  await t.test("wrong usage: exit 2 and a hint on stderr", async () => {
    for (const args of [["nosuch"], ["--nosuch"], ["serve", "--nosuch"], ["serve", "-c"], ["check", "a", "b"], ["serve", "--set", "nonsense"]]) {
      const answer = await run(args, { cwd: folder });
      assert.equal(answer.code, 2, args.join(" "));
      assert.ok(answer.stderr.length > 0);
    }
  });
  await t.test("gentoken", async () => {
    const quiet = await run(["gentoken", "-c", file, "-u", "ann", "-t", "600", "-q"]);
    assert.equal(quiet.code, 0, quiet.stderr);
    const claims = claimsOf(quiet.stdout.trim());
    assert.equal(claims.sub, "ann");
    assert.ok(Math.abs(claims.exp - unixNow() - 600) < 10);
    const loud = await run(["gentoken", "-c", file, "-u", "ann", "-t", "1h"]);
    const token = /[\w-]+\.[\w-]+\.[\w-]+/.exec(loud.stdout)[0];
    assert.ok(Math.abs(claimsOf(token).exp - unixNow() - 3600) < 10);
  });
  await t.test("gensubtoken", async () => {
    const answer = await run(["gensubtoken", "-c", file, "-u", "ann", "-s", "$own:1", "-t", "60", "-q"]);
    assert.equal(answer.code, 0, answer.stderr);
    const claims = claimsOf(answer.stdout.trim());
    assert.equal(claims.sub, "ann");
    assert.equal(claims.channel, "$own:1");
    assert.equal((await run(["gensubtoken", "-c", file, "-u", "ann"])).code, 2);
  });
  await t.test("gentoken without a key: a message", async () => {
    writeFileSync(join(folder, "nokey.lua"), "return {}");
    const answer = await run(["gentoken", "-c", join(folder, "nokey.lua"), "-u", "ann"]);
    assert.notEqual(answer.code, 0);
    assert.match(answer.stderr, /hmac_secret_key/);
  });
});

test("starting", async (t) => {
  const server = await startServer(t);
  await t.test("a port in use: exit 1 and a message with the port", async () => {
    const answer = await run(["serve", "-c", server.file], { cwd: scratch(t) });
    assert.equal(answer.code, 1);
    assert.match(answer.stderr, new RegExp(String(server.port)));
  });
  await t.test("what is weak in its configuration stands in the log", async () => {
    await server.logged(/"level":"warn".*"message":"configuration","problem":"[^"]*client\.allowed_origins: warning: /);
  });
  await t.test("a token of gentoken connects", async () => {
    const { stdout } = await run(["gentoken", "-c", server.file, "-u", "cli", "-q"]);
    const client = await server.open();
    assert.ok((await client.call("connect", { token: stdout.trim() })).client);
  });
});

test("where a value comes from", async (t) => {
  await t.test("--set is stronger than the environment, that than the file", async () => {
    const inner = await startServer(t, {
      config: { client: { channel_limit: 1, ping_interval: "50s" }, node: { name: "file" } },
      env: { PERIGEE_CLIENT_CHANNEL_LIMIT: "2", PERIGEE_NODE_NAME: "env" },
      args: ["--set", "node.name=set"],
    });
    const { nodes } = await inner.call("info");
    assert.equal(nodes[0].name, "set");
    const client = await inner.connect("a");
    assert.equal(client.connected.ping, 50);
    await client.subscribe("one");
    await client.subscribe("two");
    await client.refused("subscribe", { channel: "three" }, 106);
  });
});
