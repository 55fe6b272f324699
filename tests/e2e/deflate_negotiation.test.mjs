import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { frameBytes } from "./lib/tcp.mjs";
import { userToken } from "./lib/token.mjs";

const ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

const extensionOf = (head) => /\r\nsec-websocket-extensions: *([^\r]*)/i.exec(head)?.[1];

const offer = async (server, ...lines) => {
  const tcp = await server.tcp();
  const headers = lines.map((line) => `Sec-WebSocket-Extensions: ${line}\r\n`).join("");
  const { status, head } = await tcp.upgrade({ headers });
  return { tcp, status, extension: extensionOf(head) };
};

test("permessage-deflate is agreed on", async (t) => {
  const server = await startServer(t, { config: { websocket: { compression: true } } });

  const accepted = {
    "a plain offer": ["permessage-deflate"],
    "what browsers send": ["permessage-deflate; client_max_window_bits"],
    "other parameters": ["permessage-deflate; server_max_window_bits=10; client_no_context_takeover"],
    "window bits that do not exist": ["permessage-deflate; server_max_window_bits=99; client_max_window_bits=0"],
    "a quoted value": ['permessage-deflate; client_max_window_bits="15"'],
    "several offers": ["permessage-deflate; server_max_window_bits=8, permessage-deflate"],
    "an offer behind another extension": ["x-webkit-deflate-frame, permessage-deflate"],
    "an offer in a second header": ["foo", "permessage-deflate"],
    "an offer with many parameters": [`permessage-deflate${"; a=1".repeat(1000)}`],
  };
  for (const [what, lines] of Object.entries(accepted)) {
    await t.test(what, async () => {
      const { status, extension } = await offer(server, ...lines);
      assert.equal(status, 101);
      assert.equal(extension, ANSWER);
    });
  }

  const ignored = {
    "no offer": [],
    "an unknown extension": ["constructor"],
    "a similar name": ["permessage-deflate2, permessage-bzip2"],
    "the name as a parameter": ["foo; permessage-deflate"],
    "the name inside a string": ['foo; a=", permessage-deflate, "'],
    "a string without an end": [`permessage-deflate; a="${"\\a".repeat(3000)}`],
    "an empty header": [""],
  };
  for (const [what, lines] of Object.entries(ignored)) {
    await t.test(`${what} is answered without an extension`, async () => {
      const { status, extension } = await offer(server, ...lines);
      assert.equal(status, 101);
      assert.equal(extension, undefined);
    });
  }

  await t.test("a header beyond every size is refused or ignored at once", async () => {
    const start = Date.now();
    const { status } = await offer(server, `permessage-deflate; a="${"\\a".repeat(200000)}`);
    assert.ok([400, 431].includes(status), `status ${status}`);
    assert.ok(Date.now() - start < 2000);
  });

  await t.test("without an offer RSV1 is 1002 and nothing comes compressed", async () => {
    const { tcp } = await offer(server);
    tcp.write(frameBytes(0x81, JSON.stringify({ id: 1, connect: { token: userToken("plain") } })));
    assert.equal((await tcp.frame()).first, 0x81);
    tcp.write(frameBytes(0xc1, "x"));
    assert.equal(await tcp.closeCode(), 1002);
  });

  await t.test("together with a subprotocol", async () => {
    const tcp = await server.tcp();
    const { status, head } = await tcp.upgrade({
      headers: "Sec-WebSocket-Protocol: centrifuge-protobuf\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
    });
    assert.equal(status, 101);
    assert.equal(extensionOf(head), ANSWER);
    assert.match(head, /\r\nsec-websocket-protocol: centrifuge-protobuf\r?/i);
  });
});

test("permessage-deflate is off by default", async (t) => {
  const server = await startServer(t);
  const { tcp, status, extension } = await offer(server, "permessage-deflate");
  assert.equal(status, 101);
  assert.equal(extension, undefined);
  tcp.write(frameBytes(0xc1, "x"));
  assert.equal(await tcp.closeCode(), 1002);
});
