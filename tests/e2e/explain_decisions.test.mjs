import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { startBackend } from "./lib/backend.mjs";
import { run, scratch, startServer } from "./lib/server.mjs";
import { SECRET, channelToken, sign, unixNow, userToken } from "./lib/token.mjs";
import { SLOW } from "./lib/wait.mjs";

// Lines are counted below: keep them in place.
const CONFIG = `local perigee = require "perigee"
local function members_only(client, req)
  if req.channel == "club:closed" then return perigee.error(403, "members only") end
  if req.channel == "club:kick" then return perigee.disconnect_code(4403, "go away") end
  if req.channel == "club:broken" then error "no database" end
  if client.info and client.info.vip then return { info = { vip = true } } end
end
return {
  client = { token = { hmac_secret_key = "${SECRET}" } },
  hooks = { publish = function(client, req) if req.data.text == "spam" then return false end end },
  channel = {
    without_namespace = { allow_subscribe_for_client = true,
      allow_publish_for_subscriber = true },
    namespaces = {
      club = { presence = true, allow_presence_for_client = true, hooks = {
        subscribe = members_only,
        presence = function(client, req) if req.channel == "club:closed" then return false end end,
        transform = function(req) if req.data.text == "bad" then return perigee.error(400, "bad word") end end,
      } },
      dialog = { allow_user_limited_channels = true, channel_regex = "^[a-z#,]+$" },
      log = { history_size = 10, history_ttl = "1m", allow_history_for_subscriber = true },
    },
  },
}
`;
const CLUB = "channel.namespaces.club";
const WITHOUT = "channel.without_namespace";

// who, channel, action, what else; the code (0: allowed); the line that decided, and the other lines
const ROWS = [
  ["ann", "news", "subscribe", {}, 0, `config.lua:12: ${WITHOUT}.allow_subscribe_for_client = true: clients may subscribe`],
  ["", "news", "subscribe", {}, 103, `config.lua:12: ${WITHOUT}.allow_subscribe_for_anonymous (not set): anonymous users may not subscribe`],
  ["ann", "nosuch:1", "subscribe", {}, 102, "config.lua:14: channel.namespaces: the channel's namespace is not configured"],
  ["ann", "$news", "subscribe", {}, 103, "config.lua:11: channel.private_prefix: a private channel needs a subscription token"],
  ["ann", "$news", "subscribe", { token: channelToken("ann", "$news") }, 0, "config.lua:9: client.token: the subscription token allows it"],
  ["ann", "$news", "subscribe", { token: channelToken("bob", "$news") }, 3500, "the subscription token is for another channel, user or client"],
  ["ann", "$news", "subscribe", { token: sign({ sub: "ann", channel: "$news", exp: unixNow() - 60 }) }, 109, "config.lua:9: client.token: the subscription token has expired"],
  ["ann", "x".repeat(256), "subscribe", {}, 107, "config.lua:11: channel.max_length: the channel's name is too long"],
  ["ann", "dialog:a#ann,bob", "subscribe", {}, 0, "config.lua:20: channel.namespaces.dialog.allow_user_limited_channels = true: the user is in the channel's list"],
  ["eve", "dialog:a#ann,bob", "subscribe", {}, 103, "config.lua:20: channel.namespaces.dialog.allow_user_limited_channels = true: the user is not in the channel's list"],
  ["ann", "dialog:A1", "subscribe", {}, 107, "config.lua:20: channel.namespaces.dialog.channel_regex: the channel's name is not allowed"],
  ["ann", "club:1", "subscribe", {}, 103, `config.lua:15: ${CLUB}.allow_subscribe_for_client (not set): clients may not subscribe without a token`,
    [`config.lua:2: ${CLUB}.hooks.subscribe returned nil`]],
  ["ann", "club:closed", "subscribe", {}, 403, `config.lua:2: ${CLUB}.hooks.subscribe returned perigee.error(403, "members only")`],
  ["ann", "club:kick", "subscribe", {}, 4403, `config.lua:2: ${CLUB}.hooks.subscribe returned perigee.disconnect_code(4403, "go away")`],
  ["ann", "club:broken", "subscribe", {}, 100, `config.lua:2: ${CLUB}.hooks.subscribe raised: config.lua:5: no database`],
  ["ann", "club:1", "subscribe", { info: { vip: true } }, 0, `config.lua:2: ${CLUB}.hooks.subscribe returned {"info":{"vip":true}}`],
  ["ann", "club:1", "presence", {}, 0, `config.lua:15: ${CLUB}.allow_presence_for_client = true: clients may ask for presence`,
    [`config.lua:17: ${CLUB}.hooks.presence returned nil`]],
  ["ann", "club:closed", "presence", {}, 103, `config.lua:17: ${CLUB}.hooks.presence returned false`],
  ["ann", "news", "presence", {}, 108, `config.lua:12: ${WITHOUT}.presence (not set): the namespace keeps no presence`],
  ["ann", "log:1", "history", {}, 103, "config.lua:21: channel.namespaces.log.allow_history_for_client (not set): only subscribers may ask for history"],
  ["ann", "log:1", "history", { subscribed: true }, 0, "config.lua:21: channel.namespaces.log.allow_history_for_subscriber = true: clients may ask for history"],
  ["ann", "news", "publish", {}, 103, `config.lua:12: ${WITHOUT}.allow_publish_for_client (not set): only subscribers may publish`,
    ["config.lua:10: hooks.publish returned nil"]],
  ["ann", "news", "publish", { subscribed: true }, 0, `config.lua:13: ${WITHOUT}.allow_publish_for_subscriber = true: clients may publish`,
    ["config.lua:10: hooks.publish returned nil"]],
  ["ann", "news", "publish", { data: { text: "spam" } }, 103, "config.lua:10: hooks.publish returned false"],
  ["ann", "club:1", "publish", { caps: [{ channels: ["club:1"], allow: ["pub"] }] }, 0, `config.lua:15: ${CLUB}: a capability of its token or of its connection allows it`,
    ["config.lua:10: hooks.publish returned nil", `config.lua:18: ${CLUB}.hooks.transform returned nil`]],
  ["ann", "club:1", "publish", { caps: [{ channels: ["club:1"], allow: ["pub"] }], data: { text: "bad" } }, 400, `config.lua:18: ${CLUB}.hooks.transform returned perigee.error(400, "bad word")`,
    ["config.lua:10: hooks.publish returned nil"]],
];

const argsOf = (user, channel, action, { subscribed, token, ...json }) => [
  ...(user ? ["--user", user] : ["--anonymous"]),
  ...["--channel", channel, action],
  ...(subscribed ? ["--subscribed"] : []),
  ...(token ? ["--token", token] : []),
  ...Object.entries(json).flatMap(([name, value]) => [`--${name}`, JSON.stringify(value)]),
];

/** What the server itself answers: 0, or the code of the error or disconnect. */
async function really(server, [user, channel, action, { subscribed, token, data, info, caps }]) {
  const client = await server.open();
  const connected = await client.call("connect", { token: sign({ sub: user, info, caps, exp: unixNow() + 60 }) });
  if (subscribed) {
    await server.call("subscribe", { user, channel, client: connected.client });
    await client.push("subscribe", channel);
  }
  const params = { channel, token, data: action === "publish" ? data ?? {} : undefined };
  client.send({ id: 7, [action]: params });
  const answer = await Promise.race([client.reply(7), client.closed]).catch(() => client.closed);
  client.destroy();
  return answer.error?.code ?? answer.code ?? 0;
}

test("perigee explain", { concurrency: SLOW ? 3 : 4 }, async (t) => {
  const folder = scratch(t);
  const file = join(folder, "config.lua");
  writeFileSync(file, CONFIG);
  const explain = (args, options = {}) => run(["explain", "-c", "config.lua", ...args], { cwd: folder, ...options });
  const server = await startServer(t, { file, args: ["--set", "http_api.key=test-api-key"] });
  const cases = [];
  const add = (name, fn) => cases.push(t.test(name, fn));

  for (const row of ROWS) {
    const [user, channel, action, more, code, decided, others = []] = row;
    add(`${user || "nobody"} ${action} ${channel.slice(0, 20)} ${JSON.stringify(more).slice(0, 40)}`, async () => {
      const { code: exit, stdout } = await explain(argsOf(user, channel, action, more));
      const [first, second, ...rest] = stdout.trimEnd().split("\n");
      assert.equal(first, code ? `denied (code ${code})` : "allowed", stdout);
      assert.ok(second.endsWith(decided), stdout);
      assert.deepEqual(rest, others);
      assert.equal(exit, code ? 1 : 0);
      assert.equal(await really(server, row), code, "the server itself");
    });
  }

  add("an option of the environment or of --set is named by its source", async () => {
    const name = "channel.namespaces.club.allow_subscribe_for_client";
    const variable = "PERIGEE_CHANNEL_NAMESPACES_CLUB_ALLOW_SUBSCRIBE_FOR_CLIENT";
    const args = argsOf("ann", "club:1", "subscribe", {});
    const byEnv = await explain(args, { env: { [variable]: "1" } });
    assert.match(byEnv.stdout, new RegExp(`^allowed\n${variable}: ${name} = true: `));
    const bySet = await explain([...args, "--set", `${name}=true`]);
    assert.match(bySet.stdout, new RegExp(`^allowed\n--set: ${name} = true: `));
  });

  add("rules of one's own are named", async () => {
    mkdirSync(join(folder, "mine/perigee"), { recursive: true });
    writeFileSync(
      join(folder, "mine/perigee/rules.lua"),
      `local built_in = require "perigee.rules"\nlocal M = {}\nfunction M.explain(options, who, action)
  if action == "subscribe" then return false, "allow_subscribe_for_client", "we are closed" end
  return built_in.explain(options, who, action)\nend\nreturn M\n`,
    );
    const args = [...argsOf("ann", "news", "subscribe", {}), "--set", "lua.path=mine"];
    const { stdout, code } = await explain(args);
    assert.equal(code, 1);
    assert.match(stdout, /^denied \(code 103\)\nconfig\.lua:12: .*: we are closed\n(\.\/)?mine\/perigee\/rules\.lua:3: these rules decide/);
  });

  add("a hook that asks another server really asks it", async () => {
    const backend = await startBackend(t, (req, res) => res.end(req.url === "/may/ann" ? "yes" : "no"));
    writeFileSync(
      join(folder, "asking.lua"),
      `local perigee = require "perigee"
return { hooks = { subscribe = function(client)
  local answer = perigee.http.get("${backend.url}/may/" .. client.user)
  return answer.body == "yes"
end } }`,
    );
    const ask = (user) => run(["explain", "-c", "asking.lua", "-u", user, "-s", "x", "subscribe"], { cwd: folder });
    assert.match((await ask("ann")).stdout, /^allowed\nasking\.lua:2: hooks\.subscribe returned true\n$/);
    assert.match((await ask("bob")).stdout, /^denied \(code 103\)\nasking\.lua:2: hooks\.subscribe returned false\n$/);
  });

  add("options that a hook computes are named with the hook", async () => {
    writeFileSync(
      join(folder, "computed.lua"),
      `return { hooks = { channel_options = function(channel)
  if channel == "open" then return { allow_subscribe_for_client = true } end
end } }`,
    );
    const ask = async (channel) => (await run(["explain", "-c", "computed.lua", "-u", "a", "-s", channel, "subscribe"], { cwd: folder })).stdout;
    assert.equal(
      await ask("open"),
      'allowed\ncomputed.lua:1: hooks.channel_options returned {"allow_subscribe_for_client":true}: allow_subscribe_for_client: clients may subscribe\n',
    );
    assert.match(await ask("closed"), /^denied \(code 103\)\n.*allow_subscribe_for_client \(not set\).*\ncomputed\.lua:1: hooks\.channel_options returned nil\n$/);
  });

  add("a hook may look into a dict", async () => {
    writeFileSync(
      join(folder, "dict.lua"),
      `local seats = require "perigee".dict "seats"
return { hooks = { subscribe = function() return seats:incr("taken") <= 1 end } }`,
    );
    const answer = await run(["explain", "-c", "dict.lua", "-u", "ann", "-s", "x", "subscribe"], { cwd: folder });
    assert.match(answer.stdout, /^allowed\ndict\.lua:2: hooks\.subscribe returned true\n$/, answer.stderr);
  });

  add("a proxy is named by the line of its key", async () => {
    const backend = await startBackend(t, (req, res) => res.end('{"error":{"code":1000,"message":"not you"}}'));
    writeFileSync(
      join(folder, "proxied.lua"),
      `local perigee = require "perigee"\nreturn { hooks = {\n  subscribe = perigee.proxy.subscribe "${backend.url}/" } }`,
    );
    const answer = await run(["explain", "-c", "proxied.lua", "-u", "ann", "-s", "x", "subscribe"], { cwd: folder });
    assert.match(answer.stdout, /^denied \(code 1000\)\nproxied\.lua:3: hooks\.subscribe returned perigee\.error\(1000, "not you"\)\n$/);
  });

  add("wrong usage and wrong configurations: exit 2", async () => {
    for (const args of [[], ["--user", "a", "--channel", "x"], ["--channel", "x", "subscribe"], ["--user", "a", "subscribe"],
      ["--user", "a", "--anonymous", "--channel", "x", "subscribe"], ["--user", "a", "--channel", "x", "sing"],
      ["--user", "a", "--channel", "x", "publish", "--data", "{"], ["--user", "a", "--channel", "x", "publish", "--caps", "{}"],
      ["--user", "a", "--channel", "x", "publish", "--token", "t"]]) {
      const answer = await explain(args);
      assert.equal(answer.code, 2, args.join(" "));
      assert.match(answer.stderr, /^perigee explain: /);
      assert.equal(answer.stdout, "");
    }
    writeFileSync(join(folder, "wrong.lua"), "return { htp = {} }");
    const wrong = await run(["explain", "-c", "wrong.lua", "-u", "a", "-s", "x", "subscribe"], { cwd: folder });
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /wrong\.lua:1: htp: unknown option/);
  });

  await Promise.all(cases);
});
