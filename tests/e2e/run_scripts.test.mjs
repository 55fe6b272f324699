import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { startBackend } from "./lib/backend.mjs";
import { run, scratch, startServer } from "./lib/server.mjs";

test("perigee run", async (t) => {
  const folder = scratch(t);
  const script = async (text, args = [], options = {}) => {
    writeFileSync(join(folder, "script.lua"), text);
    return run(["run", "script.lua", ...args], { cwd: folder, ...options });
  };
  const exits = async (text, code, args) => {
    const answer = await script(text, args);
    assert.equal(answer.code, code, answer.stdout + answer.stderr);
    return answer;
  };

  await t.test("arguments, print, and the module's helpers", async () => {
    const { stdout } = await exits(
      `#!/usr/bin/env -S perigee run
local perigee = require "perigee"
print(arg[0], #arg, arg[1], arg[2], ...)
print(perigee.json.encode { 1, "a" }, perigee.base64.encode "x", perigee.env("NO_SUCH_THING", "none"), perigee.version)`,
      0,
      ["--", "--first", "second"],
    );
    assert.match(stdout, /^script\.lua\t2\t--first\tsecond\t--first\tsecond\n\[1,"a"\]\teA==\tnone\t\d+\.\d+\.\d+\n$/);
  });

  await t.test("what is logged stays one JSON line", async () => {
    const { stderr } = await exits(
      `local perigee = require "perigee"
perigee.log.info("x \\xff", { level = "fatal", ['a":1,"b'] = true, ["c\\nd"] = ("y"):rep(20000) })`,
      0,
    );
    const { time, "c\nd": long, ...line } = JSON.parse(stderr);
    assert.ok(time && long.length > 1000);
    assert.deepEqual(line, { level: "info", message: "x \ufffd", field_level: "fatal", 'a":1,"b': "true" });
  });

  await t.test("it waits, for time and for other servers", async () => {
    const backend = await startBackend(t, (req, res) => res.end(`you asked for ${req.url}`));
    const { stdout } = await exits(
      `local perigee = require "perigee"
local before = perigee.now()
for i = 1, 5000000 do end
perigee.sleep(0.1)
print(perigee.now() - before >= 0.1, perigee.http.get("${backend.url}/x").body)`,
      0,
    );
    assert.equal(stdout, "true\tyou asked for /x\n");
  });

  await t.test("the exit code is what it returns", async () => {
    await exits("return", 0);
    await exits("return true", 0);
    await exits("return 7", 7);
    await exits("return 256", 1);
    await exits("return false", 1);
    assert.match((await exits('return nil, "no luck"', 1)).stderr, /^perigee run: no luck\n$/);
    assert.match((await exits('return nil, { code = 102, message = "unknown channel" }', 1)).stderr, /unknown channel/);
    assert.match((await exits('local x = nil\nprint "before"\nreturn x.y', 1)).stderr, /^perigee run: script\.lua:3: attempt to index a nil value/);
    assert.match((await exits("return {", 1)).stderr, /script\.lua:1: /);
    assert.match((await exits("os.exit(3)", 1)).stderr, /os\.exit is not available; return the exit code/);
  });

  await t.test("files yes, processes no", async () => {
    const { stdout } = await script(
      `for line in io.stdin:lines() do print("in", line) end
local f = assert(io.open("made.txt", "w"))
f:write "made"
f:close()
print(os.rename("made.txt", "moved.txt"), io.popen, os.execute, pcall(function() return debug end))
print(require "mine.module")`,
      [],
      { input: "a\nb\n" },
    );
    assert.match(stdout, /^in\ta\nin\tb\ntrue\tnil\tnil\tfalse\t/);
    assert.equal(readFileSync(join(folder, "moved.txt"), "utf8"), "made");
    assert.ok(!existsSync(join(folder, "made.txt")));
    mkdirSync(join(folder, "mine"));
    writeFileSync(join(folder, "mine/module.lua"), "return 'beside the script'");
    assert.match((await script('print(require "mine.module")')).stdout, /^beside the script\n$/);
  });

  await t.test("with -c, server calls go to the running server", async () => {
    const server = await startServer(t, {
      config: { channel: { without_namespace: { presence: true, history_size: 3, history_ttl: "1m" } } },
    });
    const ann = await server.connect("ann");
    await ann.subscribe("news");
    const text = `local perigee = require "perigee"
print(perigee.publish { channel = "news", data = { text = "hi" } }.offset)
local published = perigee.history "news"
print(#published, published[1].offset, published[1].data.text)
for _, member in pairs(perigee.presence "news") do print(member.user) end
local result, problem = perigee.publish { channel = "nosuch:1", data = {} }
print(result, problem.code, problem.message)
return perigee.disconnect { user = "ann" } and 5`;
    const { stdout, code } = await script(text, ["-c", server.file]);
    assert.equal(stdout, "1\n1\t1\thi\nann\nnil\t102\tunknown channel\n");
    assert.equal(code, 5);
    assert.deepEqual((await ann.push("pub")).data, { text: "hi" });
    await ann.expectClose(3503);
    const wrong = await script('return require "perigee".info()', ["-c", server.file, "--set", "http_api.key=wrong"]);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /\/api\/info: the server has another http_api\.key\n$/);
    assert.doesNotMatch(wrong.stderr, /wrong/);
  });

  await t.test("without -c they say what is missing", async () => {
    const { stderr } = await exits('require "perigee".info()', 1);
    assert.match(stderr, /script\.lua:1: perigee\.info needs a running server; say whose: perigee run -c config\.lua/);
  });

  await t.test("wrong usage and wrong configurations: exit 2", async () => {
    for (const args of [[], ["nosuch.lua"], ["script.lua", "more.lua"], ["--nosuch"], ["script.lua", "-c", "nosuch.lua"]]) {
      const answer = await run(["run", ...args], { cwd: folder });
      assert.equal(answer.code, 2, args.join(" "));
      assert.ok(answer.stderr.length > 0);
    }
  });
});
