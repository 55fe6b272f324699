import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import test from "node:test";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { startDev } from "./lib/dev.mjs";

const sh = promisify(execFile);
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

test("the playground page in a browser", async (t) => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
    timeout: 60000,
  });
  t.after(() => browser.close()); // first, so that it ends whatever becomes of the server
  const dev = await startDev(t);
  const page = await browser.newPage({ viewport: { width: 1000, height: 860 } });
  page.setDefaultTimeout(20000);
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  const hosts = new Set();
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  await page.goto(dev.page);

  const state = page.getByRole("status");
  const message = (text) => page.locator("#messages li", { hasText: text });
  const shown = async (what) => assert.equal(await what.count(), 1);

  await t.test("it says that it is connected, and one client is here", async () => {
    await state.filter({ hasText: /^connected$/ }).waitFor();
    await page.locator("#presence", { hasText: "1" }).waitFor();
  });

  await t.test("Publish makes the message appear, once", async () => {
    await page.getByLabel("Message").first().waitFor();
    await page.locator("#input").fill("hello from the page");
    await page.getByRole("button", { name: "Publish" }).click();
    await message("hello from the page").waitFor();
    await shown(message("hello from the page"));
    assert.equal(await page.locator("#input").inputValue(), "");
  });

  await t.test("JSON is published as JSON, markup stays text", async () => {
    await page.locator("#input").fill('{"html": "<b id=injected>x</b>", "list": []}');
    await page.locator("#input").press("Enter");
    await message('{"html":"<b id=injected>x</b>","list":[]}').waitFor();
    assert.equal(await page.locator("#injected").count(), 0);
  });

  await t.test("what the printed curl line publishes appears too", async () => {
    const before = await page.locator("#messages li").count();
    assert.equal(await page.locator("#curl").textContent(), dev.curl);
    await sh("sh", ["-c", `${dev.curl} --silent --show-error --fail`]);
    await page.locator(`#messages li:nth-child(${before + 1})`).waitFor();
  });

  await t.test("a second window gets the messages and is counted", async () => {
    const second = await browser.newPage();
    await second.goto(dev.page);
    await second.getByRole("status").filter({ hasText: /^connected$/ }).waitFor();
    await page.locator("#presence", { hasText: "2" }).waitFor();
    await page.locator("#input").fill("for both windows");
    await page.getByRole("button", { name: "Publish" }).click();
    await second.locator("#messages li", { hasText: "for both windows" }).waitFor();
    await second.close();
    await page.locator("#presence", { hasText: "1" }).waitFor();
  });

  await t.test("it fits wide and narrow windows", async () => {
    for (const width of [1000, 360]) {
      await page.setViewportSize({ width, height: 860 });
      const overhang = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overhang <= 0, `${width} px: ${overhang} px too wide`);
    }
    await page.setViewportSize({ width: 1000, height: 860 });
  });

  if (process.env.SCREENSHOT) {
    mkdirSync(dirname(process.env.SCREENSHOT), { recursive: true });
    await page.screenshot({ path: process.env.SCREENSHOT });
  }

  await t.test("a page whose connection was lost comes back, and misses nothing", async () => {
    const second = await browser.newPage();
    const sockets = [];
    await second.routeWebSocket(/connection\/websocket/, (socket) => {
      socket.connectToServer();
      sockets.push(socket);
    });
    await second.goto(dev.page);
    const connected = () => second.getByRole("status").filter({ hasText: /^connected$/ }).waitFor();
    await connected();
    await sockets[0].close({ code: 3000, reason: "" });
    await second.getByRole("status").filter({ hasText: "reconnecting" }).waitFor();
    await page.locator("#input").fill("while you were away");
    await page.getByRole("button", { name: "Publish" }).click();
    await connected();
    await second.locator("#messages li", { hasText: "while you were away" }).waitFor();
    await shown(second.locator("#messages li", { hasText: "while you were away" }));
    assert.equal(sockets.length, 2);
    await second.close();
  });

  await t.test("nothing failed, and nothing was asked from elsewhere", async () => {
    assert.deepEqual(problems, []);
    assert.deepEqual([...hosts], [new URL(dev.page).host]);
  });
});
