import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import test from "node:test";
import { promisify } from "node:util";
import { startDev } from "./lib/dev.mjs";
import { freePort, run, scratch } from "./lib/server.mjs";

const sh = promisify(execFile);

test("perigee dev", async (t) => {
  const dev = await startDev(t);

  await t.test("prints the page's address, a curl line and the path of a configuration", async () => {
    assert.equal(new URL(dev.page).hostname.replace("localhost", "127.0.0.1"), "127.0.0.1");
    assert.equal(Number(new URL(dev.page).port), dev.port);
    assert.match(dev.curl, /^curl .*\/api\/publish/);
    assert.ok(existsSync(dev.configPath), dev.configPath);
  });

  await t.test("serves a page that needs nothing from elsewhere", async () => {
    const answer = await fetch(dev.page);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type"), /^text\/html/);
    const html = await answer.text();
    assert.doesNotMatch(html, /\{\{/, "every placeholder is filled in");
    const block = /<script id="config" type="application\/json">(.*?)<\/script>/s.exec(html)[1];
    const config = JSON.parse(block);
    for (const key of ["url", "token", "channel", "curl", "config_path", "version"]) assert.ok(config[key], key);
    assert.equal(config.curl, dev.curl);
    assert.equal(config.config_path, dev.configPath);
    assert.doesNotMatch(html, /(src|href)="https?:/);
  });

  await t.test("the curl line publishes", async () => {
    const { stdout } = await sh("sh", ["-c", `${dev.curl} --silent --show-error`]);
    const { result } = JSON.parse(stdout);
    assert.ok(result, stdout);
  });

  await t.test("the configuration it wrote is valid and private", async () => {
    const answer = await run(["check", "-c", dev.configPath]);
    assert.equal(answer.code, 0, answer.stdout + answer.stderr);
    assert.equal(statSync(dev.configPath).mode & 0o077, 0, "secrets are readable by others");
    assert.match(readFileSync(dev.configPath, "utf8"), /return \{/);
  });

  await t.test("other origins are refused", async () => {
    const answer = await fetch(dev.page, { headers: { Origin: "https://evil.test" } });
    assert.equal(answer.headers.get("access-control-allow-origin"), null);
  });
});

test("perigee dev keeps to loopback", async (t) => {
  for (const [what, args, env] of [
    ["--set", ["--set", "http_server.address=0.0.0.0"], {}],
    ["--set with a name", ["--set", "http_server.address=192.0.2.1"], {}],
    ["the environment", [], { PERIGEE_HTTP_SERVER_ADDRESS: "0.0.0.0" }],
    ["every IPv6 address", ["--set", "http_server.address=::"], {}],
  ]) {
    await t.test(`a public address from ${what}: exit 2`, async () => {
      const folder = scratch(t);
      const port = await freePort();
      const answer = await run(["dev", ...args], { cwd: folder, env: { HOME: folder, PERIGEE_HTTP_SERVER_PORT: String(port), ...env } });
      assert.equal(answer.code, 2, answer.stdout + answer.stderr);
      assert.match(answer.stderr, /loopback|127\.0\.0\.1/);
    });
  }
});
