import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";

async function upgradeStatus(server, origin) {
  const tcp = await server.tcp();
  const answer = await tcp.upgrade({ headers: origin === undefined ? "" : `Origin: ${origin}\r\n` });
  tcp.destroy();
  return answer.status;
}

test("allowed origins", async (t) => {
  const server = await startServer(t, {
    config: { client: { allowed_origins: ["https://good.example", "https://*.site.test", "http://localhost:300?"] } },
  });
  const cases = [
    [undefined, 101],
    ["https://good.example", 101],
    ["HTTPS://GOOD.EXAMPLE", 101],
    ["https://a.site.test", 101],
    ["https://a.b.site.test", 101],
    ["http://localhost:3000", 101],
    ["http://good.example", 403],
    ["https://good.example:443", 403],
    ["https://good.example.evil.test", 403],
    ["https://good.example.", 403],
    ["https://evil.test/https://good.example", 403],
    ["https://site.test", 403],
    ["http://localhost:30000", 403],
    ["null", 403],
    ["https://good.exampl", 403],
  ];
  for (const [origin, status] of cases) {
    await t.test(`${origin ?? "no origin"} is answered ${status}`, async () => {
      assert.equal(await upgradeStatus(server, origin), status);
    });
  }
  await t.test("the refusal is logged with the origin and the option to change", async () => {
    await upgradeStatus(server, "https://refused.test");
    await server.logged(/refused\.test/);
    await server.logged(/allowed_origins/);
  });
});

test("no allowed origins", async (t) => {
  const server = await startServer(t);
  await t.test("a browser is refused", async () => {
    assert.equal(await upgradeStatus(server, server.url), 403);
  });
  await t.test("a client without an origin is let in", async () => {
    assert.equal(await upgradeStatus(server, undefined), 101);
  });
});

test("every origin", async (t) => {
  const server = await startServer(t, { config: { client: { allowed_origins: ["*"] } } });
  for (const origin of ["https://anything.test", "null", undefined]) {
    await t.test(`${origin ?? "no origin"} is let in`, async () => {
      assert.equal(await upgradeStatus(server, origin), 101);
    });
  }
});
