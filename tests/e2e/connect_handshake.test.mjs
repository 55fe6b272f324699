import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { frameBytes } from "./lib/tcp.mjs";
import { userToken } from "./lib/token.mjs";

test("the WebSocket handshake", async (t) => {
  const server = await startServer(t);
  const handshake = async (headers, { method = "GET", path = "/connection/websocket", more = "" } = {}) => {
    const tcp = await server.tcp();
    tcp.write(`${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n${more}`);
    const answer = await tcp.response();
    tcp.destroy();
    return answer;
  };
  const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
  const ACCEPT = createHash("sha1").update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  const up = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n`;

  await t.test("is answered with the accept key", async () => {
    const answer = await handshake(up);
    assert.equal(answer.status, 101);
    assert.match(answer.head, new RegExp(`\r\nsec-websocket-accept: ${ACCEPT.replaceAll("+", "\\+")}`, "i"));
    assert.doesNotMatch(answer.head, /sec-websocket-protocol|sec-websocket-extensions/i);
  });

  await t.test("tokens are compared without regard to case, in lists too", async () => {
    const answer = await handshake(up.replace("Upgrade: websocket", "Upgrade: WebSocket").replace("Connection: Upgrade", "Connection: keep-alive, UPGRADE"));
    assert.equal(answer.status, 101);
  });

  await t.test("centrifuge-json is echoed, an unknown subprotocol is not", async () => {
    const json = await handshake(`${up}Sec-WebSocket-Protocol: other, centrifuge-json\r\n`);
    assert.match(json.head, /\r\nsec-websocket-protocol: centrifuge-json(\r\n|$)/i);
    const other = await handshake(`${up}Sec-WebSocket-Protocol: other\r\n`);
    assert.equal(other.status, 101);
    assert.doesNotMatch(other.head, /sec-websocket-protocol/i);
  });

  await t.test("query parameters are tolerated", async () => {
    assert.equal((await handshake(up, { path: "/connection/websocket?cf_protocol_version=v2&x=%20y" })).status, 101);
  });

  await t.test("an offer of permessage-deflate is ignored while compression is off", async () => {
    const answer = await handshake(`${up}Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n`);
    assert.equal(answer.status, 101);
    assert.doesNotMatch(answer.head, /sec-websocket-extensions/i);
  });

  const bad = {
    "without a key": [up.replace(/Sec-WebSocket-Key.*\r\n/, ""), 400],
    "with an empty key": [up.replace(KEY, ""), 400],
    "with a short key": [up.replace(KEY, "c2hvcnQ="), 400],
    "with a key that is no base64": [up.replace(KEY, "!!!!!!!!!!!!!!!!!!!!!!=="), 400],
    "without a version": [up.replace(/Sec-WebSocket-Version.*\r\n/, ""), 400],
    "of version 8": [up.replace(": 13", ": 8"), 400],
    "of version 99": [up.replace(": 13", ": 99"), 400],
    "without Upgrade": [up.replace("Upgrade: websocket\r\n", ""), 400],
    "upgrading to something else": [up.replace("Upgrade: websocket", "Upgrade: h2c"), 400],
    "without Connection: Upgrade": [up.replace("Connection: Upgrade", "Connection: close"), 400],
  };
  for (const [what, [headers, status]] of Object.entries(bad)) {
    await t.test(`${what} is refused with ${status}`, async () => {
      const answer = await handshake(headers);
      assert.equal(answer.status, status);
      if (what.includes("version")) assert.match(answer.head, /\r\nsec-websocket-version: 13/i);
    });
  }

  await t.test("by POST is refused with 405", async () => {
    assert.equal((await handshake(`${up}Content-Length: 0\r\n`, { method: "POST" })).status, 405);
  });

  await t.test("on other paths does not upgrade", async () => {
    for (const path of ["/api/info", "/api", "/health", "/nothing", "/connection", "/connection/websocket/x"]) {
      const answer = await handshake(up, { path });
      assert.notEqual(answer.status, 101, path);
      assert.ok(answer.status === 200 || (answer.status >= 400 && answer.status < 500), `${path}: ${answer.status}`);
    }
    assert.equal((await handshake(up, { path: "/nothing" })).status, 404);
  });

  await t.test("may follow another request on the same connection", async () => {
    const tcp = await server.tcp();
    tcp.write("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert.equal((await tcp.response()).status, 200);
    assert.equal((await tcp.upgrade()).status, 101);
  });

  await t.test("bytes right behind the handshake are frames", async () => {
    const tcp = await server.tcp();
    const command = JSON.stringify({ id: 1, connect: { token: userToken("early") } });
    assert.equal((await tcp.upgrade({ more: frameBytes(0x81, command) })).status, 101);
    const frame = await tcp.frame();
    assert.equal(frame.first, 0x81);
    assert.ok(JSON.parse(frame.payload).connect.client);
  });
});
