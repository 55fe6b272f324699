import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import zlib from "node:zlib";
import { Centrifuge } from "centrifuge/build/protobuf";
import { WebSocket } from "ws";
import { makeSdk, record } from "./lib/sdk.mjs";
import { run, scratch, startServer } from "./lib/server.mjs";
import { frameBytes } from "./lib/tcp.mjs";
import { userToken } from "./lib/token.mjs";
import { until } from "./lib/wait.mjs";

const COMPRESSED = 0x40;

/** Offers the extension and compresses whatever it sends. */
class DeflatingWebSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: { threshold: 0 } });
  }
}

const config = {
  websocket: { compression: true },
  client: { channel_limit: 1000 },
  channel: {
    without_namespace: {
      allow_subscribe_for_client: true,
      allow_publish_for_client: true,
      allow_history_for_client: true,
      history_size: 100,
      history_ttl: "60s",
      force_recovery: true,
    },
  },
};

const pack = (text) => zlib.deflateRawSync(text, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);
const unpack = (payload) =>
  zlib.inflateRawSync(Buffer.concat([payload, Buffer.from([0, 0, 0xff, 0xff])]), {
    finishFlush: zlib.constants.Z_SYNC_FLUSH,
  });

const deflating = async (server, user = "bytes") => {
  const tcp = await server.tcp();
  await tcp.upgrade({ headers: "Sec-WebSocket-Extensions: permessage-deflate\r\n" });
  tcp.write(frameBytes(0x81, JSON.stringify({ id: 1, connect: { token: userToken(user) } })));
  tcp.connected = await tcp.frame();
  return tcp;
};
const textOf = (frame) => (frame.first & COMPRESSED ? unpack(frame.payload) : frame.payload).toString();

test("messages over permessage-deflate", async (t) => {
  const server = await startServer(t, { config });

  const sdks = { JSON: makeSdk, Protobuf: null };
  for (const name of Object.keys(sdks)) {
    await t.test(`the SDK speaks ${name} over it`, async () => {
      const sockets = [];
      class Spy extends DeflatingWebSocket {
        constructor(...args) {
          super(...args);
          sockets.push(this);
        }
      }
      const client =
        name === "JSON"
          ? server.sdk({ websocket: Spy })
          : new Centrifuge(server.wsUrl, { websocket: Spy, token: userToken("sdk"), timeout: 20000 });
      t.after(() => client.disconnect());
      client.connect();
      await until(() => client.state === "connected", "the SDK to connect");
      assert.match(sockets[0].extensions, /^permessage-deflate/);
      const channel = `sdk-${name}`;
      const sub = record(client, channel);
      sub.subscribe();
      await sub.whenSubscribed();

      const big = { text: "big and compressible, ".repeat(5000) };
      const values =
        name === "JSON"
          ? [{}, { n: 1 }, "ü€😀", [1.5, null], { text: "x".repeat(30000) }]
          : [Buffer.from("{}"), Buffer.from([0, 255, 1, 2]), Buffer.from("ü€😀"), Buffer.alloc(50000, "ab")];
      for (const value of values) await client.publish(channel, value);
      await server.publish(channel, big);
      await until(() => sub.got.length === values.length + 1, "all publications");
      const got = sub.got.map(({ data }) => (name === "JSON" ? data : Buffer.from(data).toString("latin1")));
      const expected = [...values, name === "JSON" ? big : Buffer.from(JSON.stringify(big))];
      assert.deepEqual(got, name === "JSON" ? expected : expected.map((bytes) => bytes.toString("latin1")));

      const history = await sub.history({ limit: 100 });
      assert.equal(history.publications.length, expected.length);
      client.disconnect();
    });
  }

  await t.test("a client with it and one without get the same publication", async () => {
    const plain = await server.connect("plain");
    await plain.subscribe("mixed");
    const tcps = await Promise.all([deflating(server, "a"), deflating(server, "b")]);
    for (const tcp of tcps) {
      tcp.write(frameBytes(0xc1, pack('{"id":2,"subscribe":{"channel":"mixed"}}')));
      assert.equal(JSON.parse(textOf(await tcp.frame())).id, 2);
    }
    const text = '{"list":[],"n":12345678901234567890,"f":1.0,"s":"' + "again and ".repeat(100) + '"}';
    await server.apiText("publish", `{"channel":"mixed","data":${text}}`);
    const entry = await plain.pushEntry("pub", "mixed");
    assert.ok(entry.text.includes(text));
    const payloads = [];
    for (const tcp of tcps) {
      const frame = await tcp.frame();
      assert.equal(frame.first, 0xc1);
      assert.equal(textOf(frame), entry.text);
      payloads.push(frame.payload.toString("hex"));
    }
    assert.equal(payloads[0], payloads[1]);
  });

  await t.test("every message stands alone", async () => {
    const tcp = await deflating(server);
    const command = (id) => `{"id":${id},"publish":{"channel":"alone","data":"${"one and the same ".repeat(50)}"}}`;
    for (let id = 2; id < 30; id++) {
      tcp.write(frameBytes(0xc1, pack(command(id))));
      assert.equal(textOf(await tcp.frame()), `{"id":${id},"publish":{}}`);
    }
  });

  await t.test("compressed and plain messages may take turns", async () => {
    const tcp = await deflating(server);
    for (let id = 2; id < 10; id++) {
      const text = `{"id":${id},"unsubscribe":{"channel":"x"}}`;
      tcp.write(id % 2 ? frameBytes(0xc1, pack(text)) : frameBytes(0x81, text));
      assert.equal(textOf(await tcp.frame()), `{"id":${id},"unsubscribe":{}}`);
    }
  });

  await t.test("a compressed message in fragments, with a ping between them", async () => {
    const tcp = await deflating(server);
    const packed = pack('{"id":2,"unsubscribe":{"channel":"x"}}');
    for (const size of [1, 2, 7]) {
      const pieces = [];
      for (let at = 0; at < packed.length; at += size) {
        const first = at === 0 ? 0x41 : at + size >= packed.length ? 0x80 : 0x00;
        pieces.push(frameBytes(first, packed.subarray(at, at + size)));
      }
      pieces.splice(1, 0, frameBytes(0x89, "between"));
      tcp.write(Buffer.concat(pieces));
      assert.equal((await tcp.frame()).first, 0x8a);
      assert.equal(textOf(await tcp.frame()), '{"id":2,"unsubscribe":{}}');
    }
  });

  await t.test("byte by byte, and with a last block", async () => {
    const tcp = await deflating(server);
    const last = Buffer.concat([zlib.deflateRawSync('{"id":3,"unsubscribe":{"channel":"x"}}'), Buffer.from([0])]);
    for (const byte of frameBytes(0xc1, last)) {
      tcp.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    assert.equal(textOf(await tcp.frame()), '{"id":3,"unsubscribe":{}}');
  });

  await t.test("several commands in one compressed message", async () => {
    const tcp = await deflating(server);
    const lines = Array.from({ length: 20 }, (_, i) => `{"id":${i + 2},"unsubscribe":{"channel":"x"}}`);
    tcp.write(frameBytes(0xc1, pack(lines.join("\n"))));
    const replies = [];
    while (replies.length < 20) replies.push(...textOf(await tcp.frame()).split("\n"));
    assert.deepEqual(
      replies.map((line) => JSON.parse(line).id),
      lines.map((line) => JSON.parse(line).id),
    );
  });

  await t.test("what does not shrink is sent as it is", async () => {
    const tcp = await deflating(server);
    tcp.write(frameBytes(0x81, '{"id":2,"unsubscribe":{"channel":"x"}}'));
    const frame = await tcp.frame();
    assert.equal(frame.first, 0x81);
    assert.equal(frame.payload.toString(), '{"id":2,"unsubscribe":{}}');
  });
});

test("websocket.compression_min_size and compression_level", async (t) => {
  const server = await startServer(t, {
    config: { ...config, websocket: { compression: true, compression_min_size: 500, compression_level: 9 } },
  });
  const tcp = await deflating(server);
  assert.equal(tcp.connected.first, 0x81);
  tcp.write(frameBytes(0xc1, pack('{"id":2,"subscribe":{"channel":"sizes"}}')));
  assert.equal((await tcp.frame()).first, 0x81);
  for (const [length, first] of [[400, 0x81], [600, 0xc1], [10, 0x81], [50000, 0xc1]]) {
    const data = "x".repeat(length);
    await server.publish("sizes", data);
    const frame = await tcp.frame();
    assert.equal(frame.first, first, `${length} bytes`);
    assert.equal(JSON.parse(textOf(frame)).push.pub.data, data);
  }
});

test("an invalid websocket.compression_level is refused", async (t) => {
  const file = join(scratch(t), "config.lua");
  for (const level of [0, 10]) {
    writeFileSync(file, `return { websocket = { compression_level = ${level} } }\n`);
    const { code, stdout, stderr } = await run(["check", "-c", file]);
    assert.equal(code, 2);
    assert.match(stdout + stderr, /websocket\.compression_level/);
  }
});
