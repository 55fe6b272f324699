// Generations of a config.lua that differ in hooks and namespaces, and reloads of them.
import { writeFileSync } from "node:fs";
import { lua, toLua } from "./lua.mjs";
import { baseConfig } from "./server.mjs";
import { until } from "./wait.mjs";

const hook = (n) => lua(`function(client, req) return { data = { by = ${n} } } end`);

/** The file of generation n: rooms with another publish hook, and namespaces in another order. */
function text(port, n, { broken = false, only = {} } = {}) {
  const config = baseConfig(port);
  config.channel.namespaces = {
    [n % 2 ? "aa" : "zz"]: { allow_subscribe_for_client: true },
    room: {
      allow_subscribe_for_client: true,
      allow_publish_for_client: true,
      history_size: 1000,
      history_ttl: "60s",
      force_recovery: true,
      hooks: { publish: hook(n) },
    },
  };
  Object.assign(config, only);
  return `local perigee = require "perigee"\nreturn ${toLua(config)}${broken ? " oops" : ""}\n`;
}

/** Writes that file, asks for a reload and returns what was logged until it was decided. */
export async function reload(server, n, options) {
  writeFileSync(server.file, text(server.port, n, options));
  const seen = server.stderr.length;
  server.child.kill("SIGHUP");
  await until(() => /"message":"(not reloaded|reloaded)/.test(server.stderr.slice(seen)), `a reload; ${server.tail()}`);
  return server.stderr.slice(seen);
}
