// Starts `perigee dev` and reads what it prints.
import assert from "node:assert/strict";
import { Process, freePort, scratch } from "./server.mjs";
import { PATIENCE_MS, until } from "./wait.mjs";

export async function startDev(t) {
  const folder = scratch(t);
  const port = await freePort();
  const dev = new Process(["dev"], { cwd: folder, env: { HOME: folder, TMPDIR: folder, PERIGEE_HTTP_SERVER_PORT: String(port) } });
  t.after(async () => {
    const running = !dev.ended;
    const status = await dev.stop();
    dev.assertClean();
    if (running) assert.deepEqual(status, { code: 0, signal: null }, dev.tail());
  });
  dev.port = port;
  const printed = () => dev.stdout;
  await until(
    () => {
      assert.equal(dev.ended, null, `perigee dev ended: ${dev.stdout}${dev.tail()}`);
      dev.page = /https?:\/\/[^\s/]+:\d+\/?(?=\s)/.exec(printed())?.[0];
      dev.curl = /^\s*(curl .*)$/m.exec(printed())?.[1].trim();
      dev.configPath = /^\s*(\/\S+\.lua)$/m.exec(printed())?.[1];
      return dev.page && dev.curl && dev.configPath;
    },
    "address, curl line and configuration on stdout",
    PATIENCE_MS,
  );
  return dev;
}
