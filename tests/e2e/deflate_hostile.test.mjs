import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import zlib from "node:zlib";
import { startServer } from "./lib/server.mjs";
import { frameBytes } from "./lib/tcp.mjs";
import { userToken } from "./lib/token.mjs";
import { SLOW } from "./lib/wait.mjs";

const { Z_SYNC_FLUSH } = zlib.constants;
const pack = (bytes, options) => zlib.deflateRawSync(bytes, { ...options, finishFlush: Z_SYNC_FLUSH }).subarray(0, -4);
const OK = '{"id":1,"unsubscribe":{"channel":"x"}}';
const TOO_BIG = "message too big after decompression";

/** A bomb of about `packed` bytes, a thousand times as big when inflated. */
const bomb = (packed) => {
  const unit = pack(Buffer.alloc(1 << 20), { level: 9 });
  const whole = Buffer.concat([unit, Buffer.from([0, 0, 0xff, 0xff])]);
  const count = Math.max(1, Math.floor(packed / whole.length));
  return Buffer.concat([...Array(count - 1).fill(whole), unit]);
};
const fragmented = (bytes, size) => {
  const frames = [];
  for (let at = 0; at < bytes.length; at += size)
    frames.push(frameBytes((at === 0 ? 0x41 : 0) | (at + size >= bytes.length ? 0x80 : 0), bytes.subarray(at, at + size)));
  return Buffer.concat(frames);
};
const emptyBlocks = (bytes) => Buffer.concat([...Array(Math.floor(bytes / 5)).fill(Buffer.from([0, 0, 0, 0xff, 0xff])), Buffer.from([0])]);
const packed = pack(OK);

// name, bytes behind the connect command, expected close code and reason
const CASES = [
  ["a bomb", frameBytes(0xc1, bomb(60000)), 1009, TOO_BIG],
  ["a binary bomb", frameBytes(0xc2, bomb(60000)), 1009, TOO_BIG],
  ["a bomb split over fragments", fragmented(bomb(60000), 1000), 1009, TOO_BIG],
  ["a small bomb", frameBytes(0xc1, pack(Buffer.alloc(655361, "x"))), 1009, TOO_BIG],
  ["a bomb that is too big itself", frameBytes(0xc1, bomb(70000)), 1009, ""],
  ["10 MB that inflate to 10 GB, announced", frameBytes(0xc1, bomb(70000), { lengthBytes: 8 }), 1009, ""],
  ["a bomb that is broken at its end", frameBytes(0xc1, Buffer.concat([bomb(60000), Buffer.from([7])])), 1009, TOO_BIG],
  ["garbage", frameBytes(0xc1, Buffer.alloc(100, 0xff)), 1007],
  ["plain JSON with the compressed bit", frameBytes(0xc1, OK), 1007],
  ["a truncated stream", frameBytes(0xc1, packed.subarray(0, -4)), 1007],
  ["an empty payload", frameBytes(0xc1, ""), 1007],
  ["a flipped bit", frameBytes(0xc1, Buffer.from(packed.map((byte, i) => (i === 0 ? byte ^ 6 : byte)))), 1007],
  ["a window kept from another message", frameBytes(0xc1, Buffer.from([0xf2, 0x00, 0x11, 0x00, 0x00])), 1007],
  ["invalid UTF-8 that was compressed", frameBytes(0xc1, pack(Buffer.from([0x22, 0xff, 0x22]))), 1007],
  ["a cut UTF-8 sequence that was compressed", frameBytes(0xc1, pack(Buffer.from([0x22, 0xe2, 0x82]))), 1007],
  ["a compressed ping", frameBytes(0xc9, packed), 1002],
  ["a compressed pong", frameBytes(0xca, packed), 1002],
  ["a compressed close", frameBytes(0xc8, packed), 1002],
  ["RSV1 on a continuation", Buffer.concat([frameBytes(0x41, packed.subarray(0, 5)), frameBytes(0xc0, packed.subarray(5))]), 1002],
  ["RSV1 only on a continuation", Buffer.concat([frameBytes(0x01, "{"), frameBytes(0xc0, packed)]), 1002],
  ["RSV2", frameBytes(0xa1, OK), 1002],
  ["RSV1 and RSV3", frameBytes(0xd1, packed), 1002],
  ["nothing but empty blocks", frameBytes(0xc1, emptyBlocks(65000)), 3501],
  ["nothing but last blocks", frameBytes(0xc1, Buffer.alloc(65000, Buffer.from([3, 0]))), 3501],
  ["compressed text that is no JSON", frameBytes(0xc1, pack("nonsense")), 3501],
];

const residentKib = (server) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, "latin1"))[1]);

test("hostile compressed messages", async (t) => {
  const server = await startServer(t, {
    config: { websocket: { compression: true }, channel: { without_namespace: { allow_publish_for_client: true } } },
  });
  const witness = await server.connect("witness");
  const connected = async () => {
    const tcp = await server.tcp();
    await tcp.upgrade({ headers: "Sec-WebSocket-Extensions: permessage-deflate\r\n" });
    tcp.write(frameBytes(0x81, JSON.stringify({ id: 1, connect: { token: userToken("hostile") } })));
    assert.equal((await tcp.frame()).opcode, 1);
    return tcp;
  };
  const closeOf = async (tcp) => {
    for (;;) {
      const frame = await tcp.frame();
      if (frame === null) return { code: null };
      if (frame.opcode === 8) return { code: frame.payload.readUInt16BE(0), reason: frame.payload.subarray(2).toString() };
    }
  };

  for (const [name, bytes, code, reason] of CASES) {
    await t.test(`${name}: ${code}`, async () => {
      const tcp = await connected();
      tcp.write(bytes);
      const close = await closeOf(tcp);
      assert.equal(close.code, code);
      if (reason !== undefined) assert.equal(close.reason, reason);
      await tcp.end(6000);
    });
    if (bytes.length > 300) continue;
    await t.test(`${name}, byte by byte: ${code}`, async () => {
      const tcp = await connected();
      for (const byte of bytes) {
        tcp.write(Buffer.from([byte]));
        await new Promise(setImmediate);
      }
      assert.equal((await closeOf(tcp)).code, code);
    });
  }
  await server.logged(/message too big after inflating.*websocket\.decompressed_message_size_limit/);

  await t.test("a message of exactly the limit is taken, one byte more is not", async () => {
    const text = (bytes) => OK + " ".repeat(bytes - OK.length);
    const tcp = await connected();
    tcp.write(frameBytes(0xc1, pack(text(655360))));
    assert.equal(JSON.parse((await tcp.frame()).payload).id, 1);
    tcp.write(frameBytes(0xc1, pack(text(655361))));
    assert.deepEqual(await closeOf(tcp), { code: 1009, reason: TOO_BIG });
  });

  await t.test("many bombs at once take no memory to speak of, others do not notice", async () => {
    const before = residentKib(server);
    const frame = frameBytes(0xc1, bomb(60000));
    const tcps = await Promise.all(Array.from({ length: 50 }, connected));
    for (const tcp of tcps) tcp.write(frame);
    const start = Date.now();
    await witness.assertAlive();
    assert.ok(Date.now() - start < (SLOW ? 10000 : 2000));
    for (const tcp of tcps) assert.equal((await closeOf(tcp)).code, 1009);
    if (!SLOW) assert.ok(residentKib(server) - before < 16 * 1024, `${residentKib(server) - before} KiB more`);
    await witness.assertAlive();
  });

  await t.test("a bomb before the connect command", async () => {
    const tcp = await server.tcp();
    await tcp.upgrade({ headers: "Sec-WebSocket-Extensions: permessage-deflate\r\n" });
    tcp.write(frameBytes(0xc1, bomb(60000)));
    assert.deepEqual(await closeOf(tcp), { code: 1009, reason: TOO_BIG });
  });

  await t.test("a client that vanishes inside a compressed message is forgotten", async () => {
    for (const cut of [1, 6, 10, 20]) {
      const tcp = await connected();
      tcp.write(frameBytes(0xc1, packed).subarray(0, cut));
      tcp.destroy();
    }
    await witness.assertAlive();
  });
});

test("websocket.decompressed_message_size_limit", async (t) => {
  const server = await startServer(t, {
    config: { websocket: { compression: true, message_size_limit: 1000, decompressed_message_size_limit: 2000 } },
  });
  const open = async () => {
    const tcp = await server.tcp();
    await tcp.upgrade({ headers: "Sec-WebSocket-Extensions: permessage-deflate\r\n" });
    tcp.write(frameBytes(0x81, JSON.stringify({ id: 1, connect: { token: userToken("1") } })));
    await tcp.frame();
    return tcp;
  };
  const padded = (bytes) => pack(OK + " ".repeat(bytes - OK.length));
  const tcp = await open();
  tcp.write(frameBytes(0xc1, padded(2000)));
  assert.equal((await tcp.frame()).opcode, 1);
  tcp.write(frameBytes(0xc1, padded(2001)));
  assert.equal(await tcp.closeCode(), 1009);
  const other = await open();
  other.write(frameBytes(0xc1, Buffer.alloc(1001, 0)));
  assert.equal(await other.closeCode(), 1009);
});
