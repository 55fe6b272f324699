import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { frameBytes } from "./lib/tcp.mjs";
import { userToken } from "./lib/token.mjs";
import { sleep } from "./lib/wait.mjs";

const text = (payload, options) => frameBytes(0x81, payload, options);
const closeFrame = (code, reason = "") => {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code);
  payload.write(reason, 2);
  return frameBytes(0x88, payload);
};
/** A masked header that announces more than it brings. */
const announce = (first, length) => {
  const head = Buffer.alloc(14);
  head[0] = first;
  head[1] = 0xff;
  head.writeBigUInt64BE(length, 2);
  return Buffer.concat([head, Buffer.from("0123456789")]);
};
const OK = '{"id":1,"unsubscribe":{"channel":"x"}}';

// name, bytes behind the connect command, expected close code
const CASES = [
  ["an unmasked frame", text(OK, { mask: false }), 1002],
  ["RSV1", frameBytes(0xc1, OK), 1002],
  ["RSV2", frameBytes(0xa1, OK), 1002],
  ["RSV3", frameBytes(0x91, OK), 1002],
  ["opcode 3", frameBytes(0x83, OK), 1002],
  ["opcode 7", frameBytes(0x87, OK), 1002],
  ["opcode 11", frameBytes(0x8b, ""), 1002],
  ["opcode 15", frameBytes(0x8f, ""), 1002],
  ["a ping of 126 bytes", frameBytes(0x89, "x".repeat(126)), 1002],
  ["a fragmented ping", frameBytes(0x09, "x"), 1002],
  ["a fragmented close", frameBytes(0x08, Buffer.from([3, 232])), 1002],
  ["a continuation without a start", frameBytes(0x80, OK), 1002],
  ["a new text inside a fragmented one", Buffer.concat([frameBytes(0x01, "{"), text(OK)]), 1002],
  ["a binary inside a fragmented text", Buffer.concat([frameBytes(0x01, "{"), frameBytes(0x82, OK)]), 1002],
  ["a 16-bit length below 126", text(OK, { lengthBytes: 2 }), 1002],
  ["a 64-bit length below 65 536", text(OK, { lengthBytes: 8 }), 1002],
  ["a length with the top bit", announce(0x81, 0xffffffffffffffffn), [1002, 1009]],
  ["a length of 2^63-1", announce(0x81, 0x7fffffffffffffffn), 1009],
  ["a length of 1 GB", announce(0x81, 1n << 30n), 1009],
  ["a length of 1 GB in a second fragment", Buffer.concat([frameBytes(0x01, "{"), announce(0x80, 1n << 30n)]), 1009],
  ["invalid UTF-8", text(Buffer.from([0x7b, 0xff, 0x7d])), 1007],
  ["overlong UTF-8", text(Buffer.from([0xc0, 0xaf])), 1007],
  ["a surrogate in UTF-8", text(Buffer.from([0xed, 0xa0, 0x80])), 1007],
  ["UTF-8 above U+10FFFF", text(Buffer.from([0xf4, 0x90, 0x80, 0x80])), 1007],
  ["a cut UTF-8 sequence", text(Buffer.from([0x22, 0xe2, 0x82])), 1007],
  [
    "invalid UTF-8 split across fragments",
    Buffer.concat([frameBytes(0x01, Buffer.from([0x22, 0xe2])), frameBytes(0x80, Buffer.from([0x28, 0xa1, 0x22]))]),
    1007,
  ],
  ["close code 0", closeFrame(0), 1002],
  ["close code 999", closeFrame(999), 1002],
  ["close code 1004", closeFrame(1004), 1002],
  ["close code 1005", closeFrame(1005), 1002],
  ["close code 1006", closeFrame(1006), 1002],
  ["close code 1015", closeFrame(1015), 1002],
  ["close code 2999", closeFrame(2999), 1002],
  ["close code 5000", closeFrame(5000), 1002],
  ["close code 65535", closeFrame(65535), 1002],
  ["a close payload of one byte", frameBytes(0x88, "x"), 1002],
  ["an invalid close reason", frameBytes(0x88, Buffer.from([3, 232, 0xff])), 1007],
  ["close code 1000", closeFrame(1000), 1000],
  ["close code 1001 with a reason", closeFrame(1001, "going ü"), 1001],
  ["close code 3000", closeFrame(3000), 3000],
  ["close code 4999", closeFrame(4999), 4999],
  ["a close without a code", frameBytes(0x88, ""), [1000, 1005]],
];

test("hostile WebSocket frames", async (t) => {
  const server = await startServer(t);
  const witness = await server.connect("witness");
  const connected = async () => {
    const tcp = await server.tcp();
    await tcp.upgrade();
    tcp.write(text(JSON.stringify({ id: 1, connect: { token: userToken("hostile") } })));
    assert.equal((await tcp.frame()).first, 0x81);
    return tcp;
  };

  for (const [name, bytes, codes] of CASES) {
    await t.test(`${name}: ${codes}`, async () => {
      const tcp = await connected();
      tcp.write(bytes);
      const code = await tcp.closeCode();
      assert.ok([codes].flat().includes(code), `closed with ${code}`);
      await tcp.end(6000);
    });
    await t.test(`${name}, byte by byte and before connect: ${codes}`, async () => {
      const tcp = await server.tcp();
      await tcp.upgrade();
      for (const byte of bytes.subarray(0, 300)) {
        tcp.write(Buffer.from([byte]));
        await new Promise(setImmediate);
      }
      const code = await tcp.closeCode();
      assert.ok([codes, 3501].flat().includes(code), `closed with ${code}`);
      await tcp.end(6000);
    });
  }

  await t.test("an invalid sequence is 1007 although it is no JSON either", async () => {
    const tcp = await connected();
    tcp.write(text(Buffer.from("nonsense \xff", "latin1")));
    assert.equal(await tcp.closeCode(), 1007);
  });

  await t.test("many tiny fragments end with a limit or a message, others do not notice", async () => {
    const tcp = await connected();
    tcp.write(frameBytes(0x01, "{"));
    const fragments = Buffer.concat(Array.from({ length: 20000 }, () => frameBytes(0x00, "")));
    for (let n = 0; n < 5; n++) tcp.write(fragments);
    tcp.write(frameBytes(0x80, "}"));
    const start = Date.now();
    await witness.assertAlive();
    assert.ok(Date.now() - start < 3000);
    const code = await tcp.closeCode();
    assert.ok([1002, 1008, 1009, 3501].includes(code), `closed with ${code}`);
  });

  await t.test("empty frames and unasked pongs of WebSocket are bounded and harmless", async () => {
    const tcp = await connected();
    for (let n = 0; n < 1000; n++) tcp.write(frameBytes(0x8a, "unasked"));
    tcp.write(text('{"id":9,"unsubscribe":{"channel":"x"}}'));
    assert.equal((await tcp.frame()).payload.toString(), '{"id":9,"unsubscribe":{}}');
  });

  await t.test("a flood of pings is answered or ended, others do not notice", async () => {
    const tcp = await connected();
    const pings = Buffer.concat(Array.from({ length: 2000 }, () => frameBytes(0x89, "x".repeat(125))));
    for (let n = 0; n < 10; n++) tcp.write(pings);
    await witness.assertAlive();
    tcp.destroy();
    await witness.assertAlive();
  });

  await t.test("a client that vanishes inside a frame is forgotten", async () => {
    for (const cut of [1, 3, 5, 7, 20]) {
      const tcp = await connected();
      tcp.write(text(OK).subarray(0, cut));
      await sleep(5);
      tcp.destroy();
    }
    await sleep(100);
    const { nodes } = await server.call("info");
    await witness.assertAlive();
    assert.equal(nodes.length, 1);
  });

  await t.test("a half-closed connection ends", async () => {
    const tcp = await connected();
    tcp.socket.end();
    await tcp.end();
  });
});
