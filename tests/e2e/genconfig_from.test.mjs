import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { TOP, run, scratch, startServer } from "./lib/server.mjs";

const FILES = join(TOP, "tests/e2e/centrifugo");

test("genconfig --from a configuration of Centrifugo", async (t) => {
  const folder = scratch(t);
  const convert = async (from, to) => {
    const answer = await run(["genconfig", "--from", from, "-o", to], { cwd: folder });
    return { ...answer, text: existsSync(join(folder, to)) ? readFileSync(join(folder, to), "utf8") : null };
  };
  const given = async (name, text, to) => {
    writeFileSync(join(folder, name), text);
    return convert(name, to);
  };

  await t.test("JSON, YAML and TOML say the same", async () => {
    const texts = [];
    for (const kind of ["json", "yaml", "toml"]) {
      const { code, text, stderr } = await convert(join(FILES, `small.${kind}`), `${kind}.lua`);
      assert.equal(code, 0, stderr);
      texts.push(text.replace(/^-- Made from small\.\w+ /, ""));
      assert.equal(statSync(join(folder, `${kind}.lua`)).mode & 0o777, 0o600);
      const check = await run(["check", "-c", `${kind}.lua`], { cwd: folder });
      assert.equal(check.code, 0, check.stdout);
    }
    assert.equal(texts[1], texts[0]);
    assert.equal(texts[2], texts[0]);
  });

  await t.test("what comes out serves clients, and opens nothing that was closed", async () => {
    const server = await startServer(t, { file: join(folder, "yaml.lua") });
    const ann = await server.connect("ann");
    await ann.subscribe("chat:1");
    await ann.call("publish", { channel: "chat:1", data: { text: "hi" } });
    assert.deepEqual((await ann.push("pub")).data, { text: "hi" });
    assert.equal(ann.connected.ping, 20);
    await ann.refused("subscribe", { channel: "strict:abc" }, 107);
    await ann.refused("subscribe", { channel: "asked:abc" }, 103);
  });

  await t.test("a big file: everything is carried over or named", async () => {
    const { code, stdout, text } = await convert(join(FILES, "full.json"), "full.lua");
    assert.equal(code, 0, stdout);
    for (const piece of [
      'http_server = { address = "127.0.0.1", port = 8000 },',
      'allowed_origins = { "https://example.com", "https://*.example.com" },',
      "pong_timeout = 8,",
      'hmac_secret_key = "a-long-secret-of-the-backend-0123456789",',
      'without_namespace = { join_leave = false, allow_subscribe_for_client = true },',
      'subscribe = perigee.proxy.subscribe "http://127.0.0.1:3000/subscribe",',
      "connect = perigee.proxy.connect {\n      endpoint = ",
      "timeout = 0.5,",
      '["end"] = { allow_subscribe_for_client = true, channel_regex = "^[a-z]+$" },',
      "rpc = { ping = function() return {} end },",
    ]) assert.ok(text.includes(piece), `${piece} in\n${text}`);
    assert.doesNotMatch(text, /channel_limit =/);
    for (const pattern of [
      /grpc_api: there is no gRPC API; use http_api/,
      /consumers: /,
      /something: unknown option/,
      /client\.channel_limit: a zero means the default there; left out/,
      /client\.proxy\.refresh: gRPC backends are not supported/,
      /channel\.namespaces\.cursors\.subscription_type: only stream subscriptions/,
      /channel\.namespaces\.ticker\.force_push_join_leave: needs join_leave = true/,
      /static_headers: \$\{…\} is not expanded/,
      /CENTRIFUGO_… of the environment are not looked at/,
    ]) assert.match(stdout, pattern);
    for (const note of stdout.matchAll(/^ {2}(.*)$/gm)) assert.ok(text.includes(`--   ${note[1]}`), note[1]);
    const check = await run(["check", "-c", "full.lua"], { cwd: folder });
    assert.equal(check.code, 0, check.stdout);
  });

  await t.test("values in other dress", async () => {
    const pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkc8DvSuuN1S5lPMDxtB2EqMyZkvJ\n"
      + "4+TsVdQ6J8gPGYDfhd3v0hFBQ8bZ3Yqd0w3y1Vb0s1cCqkWq3dO0l1bG1A==\n-----END PUBLIC KEY-----\n";
    const { text, stdout } = await given("dress.yaml", `
http_server: { port: "8001" }
client:
  allowed_origins: https://a.test https://b.test
  insecure: "true"
  user_connection_limit: 0x10
  token: { hmac_secret_key: 123456, ecdsa_public_key: ${Buffer.from(pem).toString("base64")} }
  stale_close_delay: 1500000000
  ping_interval: 1h0m0s
  expired_close_delay: soon
http_api: { key: "" }
`, "dress.lua");
    for (const piece of ["port = 8001", 'allowed_origins = { "https://a.test", "https://b.test" }', "insecure = true",
      'hmac_secret_key = "123456"', "stale_close_delay = 1.5", 'ping_interval = "1h0m0s"', "user_connection_limit = 16"]) {
      assert.ok(text.includes(piece), `${piece} in\n${text}`);
    }
    assert.match(stdout, /client\.expired_close_delay: expected a duration/);
    assert.match(stdout, /client\.token\.ecdsa_public_key: is not an EC public key/);
  });

  await t.test("what is misshapen is named, and nothing is opened by it", async () => {
    const proxied = { subscribe_proxy_enabled: true, allow_subscribe_for_client: true };
    const all = { endpoint: "http://b/s", emulated_headers: ["Authorization"] };
    const { code, text, stderr } = await given(
      "odd.json",
      JSON.stringify({
        channel: {
          proxy: { subscribe: all },
          without_namespace: { ...proxied, subscribe_proxy_name: "broken" },
          namespaces: [{ name: "one", ...proxied }, { name: "two", ...proxied, subscribe_proxy_name: "five" }, { name: "one" }],
        },
        proxies: [{ name: "broken", endpoint: "http://b", http: 5 }, 7, { name: "five", endpoint: 5 }],
        rpc: { proxy: 5, without_namespace: { proxy_enabled: true }, namespaces: [1] },
      }),
      "odd.lua",
    );
    assert.equal(code, 0, stderr);
    assert.match(text, /channel\.namespaces\[3\]: there is a namespace one already; the first is taken/);
    assert.match(text, /channel\.without_namespace\.subscribe_proxy_enabled\.http: is not a section/);
    assert.match(text, /rpc\.without_namespace\.proxy_enabled: the proxy has no endpoint/);
    assert.match(text, /rpc\.namespaces\.1: there are no RPC namespaces/);
    assert.match(text, /one = \{\n.*\n.*\n.*perigee\.proxy\.subscribe \{.*emulated_headers = \{ "Authorization" \}/);
    assert.equal(text.split("if not req.token then return false end").length - 1, 2);
    const map = await given("map.json", '{"channel":{"namespaces":{"chat":{"presence":true}}}}', "map.lua");
    assert.match(map.text, /channel\.namespaces: is not a list/);
  });

  await t.test("a file that is there is never overwritten", async () => {
    writeFileSync(join(folder, "mine.lua"), "return {}");
    const { code, stderr, text } = await convert(join(FILES, "small.json"), "mine.lua");
    assert.equal(code, 1);
    assert.match(stderr, /mine\.lua exists already and is left as it is/);
    assert.equal(text, "return {}");
  });

  await t.test("what cannot be read is said with its line, and nothing is written", async () => {
    const refused = async (name, text, pattern) => {
      const answer = await given(name, text, "none.lua");
      assert.equal(answer.code, 1);
      assert.match(answer.stderr, pattern);
      assert.equal(answer.text, null);
    };
    await refused("bad.json", "{", /bad\.json: not valid JSON/);
    await refused("bad.yaml", "a: [1\nb: 2", /bad\.yaml: line \d: /);
    await refused("twice.yaml", "client: {}\nclient: {}", /twice\.yaml: line 2: this key was given already/);
    await refused("deep.yaml", "[".repeat(200) + "]".repeat(200), /deep\.yaml: line 1: too deep, or too much/);
    const laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
    for (let i = 1; i < 9; i++) laughs.push(`a${i}: &a${i} [${Array(10).fill(`*a${i - 1}`).join(", ")}]`);
    await refused("laughs.yaml", laughs.join("\n"), /laughs\.yaml: line \d+: too deep, or too much/);
    await refused("bad.toml", "[client\n", /bad\.toml: line 1: /);
    await refused("text.json", '"just text"', /text\.json: holds no sections/);
    await refused("config.ini", "x", /config\.ini: its name must end in \.json, \.yaml, \.yml or \.toml/);
    await refused("old.json", '{"token_hmac_secret_key": "k", "namespaces": []}', /old\.json: is of Centrifugo v5 or older/);
    assert.match((await convert("nosuch.json", "none.lua")).stderr, /nosuch\.json: No such file or directory/);
    assert.equal((await run(["genconfig", "--from"], { cwd: folder })).code, 2);
  });
});
