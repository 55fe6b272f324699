import assert from "node:assert/strict";
import test from "node:test";
import { startServer } from "./lib/server.mjs";
import { frameBytes } from "./lib/tcp.mjs";
import { userToken } from "./lib/token.mjs";

test("frames of JSON commands", async (t) => {
  const server = await startServer(t, { config: { websocket: { message_size_limit: 4096 } } });
  const witness = await server.connect("witness");

  const bad = {
    "no JSON": "hello",
    "a cut object": '{"id":2,"subscribe":{"channel":"a"}',
    "an empty frame": "",
    "a newline": "\n",
    "an empty line in the middle": '{"id":2,"unsubscribe":{"channel":"a"}}\n\n{"id":3,"unsubscribe":{"channel":"a"}}',
    "an empty line in front": '\n{"id":2,"unsubscribe":{"channel":"a"}}',
    "an array": "[]",
    "a string": '""',
    "a number": "0",
    "an id that is a string": '{"id":"2","subscribe":{"channel":"a"}}',
    "a negative id": '{"id":-1,"subscribe":{"channel":"a"}}',
    "an id over 32 bits": '{"id":4294967296,"subscribe":{"channel":"a"}}',
    "an id of 2^64": '{"id":18446744073709551616,"subscribe":{"channel":"a"}}',
    "an id that is a fraction": '{"id":1.5,"subscribe":{"channel":"a"}}',
    "a subscribe that is a list": '{"id":2,"subscribe":[]}',
    "a channel that is a number": '{"id":2,"subscribe":{"channel":7}}',
    "an offset that is a string": '{"id":2,"subscribe":{"channel":"a","offset":"7"}}',
    "a recover that is a number": '{"id":2,"subscribe":{"channel":"a","recover":1}}',
    "a trailing comma": '{"id":2,"subscribe":{"channel":"a"},}',
    "single quotes": "{'id':2}",
    "NaN as data": '{"id":2,"publish":{"channel":"a","data":NaN}}',
    "a bad escape": '{"id":2,"subscribe":{"channel":"\\x41"}}',
    "a raw control character in a string": '{"id":2,"subscribe":{"channel":"a\u0001"}}',
    "depth 2000": `{"id":2,"publish":{"channel":"a","data":${"[".repeat(2000)}`,
    "an unknown command": '{"id":2,"nosuch":{"channel":"a"}}',
    "no channel to subscribe to": '{"id":2,"subscribe":{}}',
    "an empty channel": '{"id":2,"subscribe":{"channel":""}}',
    "no channel to unsubscribe from": '{"id":2,"unsubscribe":{}}',
    "no channel to publish to": '{"id":2,"publish":{"data":1}}',
    "no channel for presence": '{"id":2,"presence":{}}',
    "no channel for presence_stats": '{"id":2,"presence_stats":{}}',
    "no channel for history": '{"id":2,"history":{}}',
    "no channel for sub_refresh": '{"id":2,"sub_refresh":{"token":"x"}}',
    "a ping command": '{"id":2,"ping":{}}',
    "an unknown delta type": '{"id":2,"subscribe":{"channel":"a","delta":"xdelta"}}',
  };
  for (const [what, frame] of Object.entries(bad)) {
    await t.test(`${what} is closed with 3501`, async () => {
      const client = await server.connect("1");
      client.send(frame);
      await client.expectClose(3501, "bad request");
    });
  }

  await t.test("JSON null is no command before connect, too", async () => {
    const client = await server.open();
    client.send("null");
    await client.expectClose(3501);
  });

  await t.test("a send is closed with 3508 when nothing handles it", async () => {
    const client = await server.connect("1");
    client.send({ send: { data: {} } });
    await client.expectClose(3508, "not available");
  });

  await t.test("an rpc is answered 108 when nothing handles it", async () => {
    const client = await server.connect("1");
    await client.refused("rpc", { method: "x", data: {} }, 108);
  });

  await t.test("commands in front of a syntax error are carried out", async () => {
    const client = await server.connect("1");
    client.send('{"id":7,"subscribe":{"channel":"a"}}\nnonsense');
    await client.expectClose(3501);
    assert.ok(client.log.some(({ text }) => text === '{"id":7,"subscribe":{}}'));
  });

  await t.test("one trailing newline is fine", async () => {
    const client = await server.connect("1");
    client.send('{"id":7,"unsubscribe":{"channel":"a"}}\n');
    await client.reply(7);
    await client.assertAlive();
  });

  await t.test("a binary frame is read like a text frame", async () => {
    const client = await server.connect("1");
    client.send(Buffer.from('{"id":7,"unsubscribe":{"channel":"a"}}'));
    await client.reply(7);
  });

  await t.test("unknown fields, null and white space are tolerated", async () => {
    const client = await server.connect("1");
    client.send(' { "id" : 7 , "x" : [ {} , null ] , "publish" : null , "subscribe" : { "channel" : "sp", "token" : null, "y": 1e400 } } ');
    assert.deepEqual((await client.reply(7)).subscribe, {});
  });

  await t.test("escapes in a channel name are undone", async () => {
    const client = await server.connect("1");
    client.send('{"id":7,"subscribe":{"channel":"\\u0061\\/b"}}');
    await client.reply(7);
    await server.publish("a/b", 1);
    assert.equal((await client.push("pub", "a/b")).data, 1);
  });

  await t.test("a frame of the largest size passes, one byte more is closed with 1009", async () => {
    const command = (size) => {
      const text = `{"id":7,"unsubscribe":{"channel":"a"},"pad":""}`;
      return text.replace('""', `"${"x".repeat(size - text.length)}"`);
    };
    const client = await server.connect("1");
    client.send(command(4096));
    await client.reply(7);
    client.send(command(4097));
    await client.expectClose(1009, "");
  });

  await t.test("the limit holds for a fragmented message", async () => {
    const tcp = await server.tcp();
    await tcp.upgrade();
    tcp.write(frameBytes(0x01, "x".repeat(4000)));
    tcp.write(frameBytes(0x00, "x".repeat(4000)));
    assert.equal(await tcp.closeCode(), 1009);
    await tcp.end();
  });

  await t.test("a message may come in fragments with a ping between", async () => {
    const tcp = await server.tcp();
    await tcp.upgrade();
    const text = JSON.stringify({ id: 1, connect: { token: userToken("frag") } });
    tcp.write(frameBytes(0x01, text.slice(0, 10)));
    tcp.write(frameBytes(0x89, "are you there"));
    tcp.write(frameBytes(0x00, text.slice(10, 20)));
    tcp.write(frameBytes(0x80, text.slice(20)));
    const pong = await tcp.frame();
    assert.equal(pong.first, 0x8a);
    assert.equal(pong.payload.toString(), "are you there");
    assert.ok(JSON.parse((await tcp.frame()).payload).connect.client);
  });

  await t.test("nobody else noticed", async () => {
    await witness.assertAlive();
  });
});
