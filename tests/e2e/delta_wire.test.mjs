import assert from "node:assert/strict";
import test from "node:test";
import { applyFossil } from "./lib/fossil.mjs";
import { startServer } from "./lib/server.mjs";

const base = { allow_subscribe_for_client: true, history_size: 10, history_ttl: "1m" };
const fossil = { ...base, allowed_delta_types: ["fossil"], force_recovery: true };
const namespaces = {
  delta: { ...fossil, delta_publish: true },
  asked: fossil,
  plain: { ...base, force_recovery: true, delta_publish: true },
  loose: { ...base, allowed_delta_types: ["fossil"], delta_publish: true },
  bare: { allow_subscribe_for_client: true, allowed_delta_types: ["fossil"], delta_publish: true },
  one: { ...fossil, history_size: 1, delta_publish: true },
  loud: { ...fossil, delta_publish: true, join_leave: true, force_push_join_leave: true },
  chat: { ...fossil, delta_publish: true, allow_publish_for_client: true, allow_history_for_client: true },
};
const state = (seq, more = "") => `{"seq":${seq},"state":"waiting","players":["ann","bob"]${more}}`;

test("deltas on the wire", async (t) => {
  const server = await startServer(t, { config: { channel: { namespaces } } });
  let count = 0;
  const fresh = (namespace) => `${namespace}:${++count}`;
  /** Publishes JSON text as it is. */
  const publish = async (channel, text, more = "") => {
    const answer = await server.apiText("publish", `{"channel":"${channel}","data":${text}${more}}`);
    assert.equal(JSON.parse(answer.text).error, undefined, answer.text);
  };
  const subscribe = async (channel, more = { delta: "fossil" }) => {
    const client = await server.connect("1");
    client.result = await client.subscribe(channel, more);
    return client;
  };
  const next = async (client) => (await client.pushEntry("pub")).message.push.pub;

  await t.test("the first publication comes whole, then patches, byte for byte", async () => {
    const channel = fresh("delta");
    const client = await subscribe(channel);
    assert.equal(client.result.delta, true);
    await publish(channel, state(1));
    await publish(channel, state(2));
    const [first, second] = [await client.pushEntry("pub"), await client.pushEntry("pub")];
    const pushed = (pub) => `{"push":{"channel":"${channel}","pub":${pub}}}`;
    const { epoch } = first.message.push.pub;
    assert.equal(first.text, pushed(`{"data":${JSON.stringify(state(1))},"offset":1,"epoch":"${epoch}"}`));
    assert.equal(second.text, pushed(`{"data":"o\\n8:{\\"seq\\":2g@8,17~9Yd;","offset":2,"delta":true}`));
  });

  await t.test("who does not ask, or may not, gets plain JSON", async () => {
    const channel = fresh("delta");
    const unasked = await subscribe(channel, {});
    assert.equal(unasked.result.delta, undefined);
    const other = fresh("plain");
    const refused = await subscribe(other);
    assert.equal(refused.result.delta, undefined);
    for (const [client, name] of [[unasked, channel], [refused, other]]) {
      for (let seq = 1; seq <= 3; seq++) {
        await publish(name, state(seq));
        const pub = await next(client);
        assert.deepEqual(pub.data, JSON.parse(state(seq)));
        assert.equal(pub.delta, undefined);
      }
    }
  });

  await t.test("an unknown delta type ends the connection", async () => {
    const client = await server.connect("1");
    client.send({ id: 7, subscribe: { channel: "delta:x", delta: "xdelta" } });
    await client.expectClose(3501);
  });

  await t.test("publications without the delta flag come whole, as strings", async () => {
    const channel = fresh("asked");
    const client = await subscribe(channel);
    for (let seq = 1; seq <= 2; seq++) {
      await publish(channel, state(seq));
      const pub = await next(client);
      assert.equal(pub.data, state(seq));
      assert.equal(pub.delta, undefined);
    }
    await publish(channel, state(3), `,"delta":true`);
    const pub = await next(client);
    assert.equal(pub.delta, true);
    assert.equal(applyFossil(state(2), pub.data).toString(), state(3));
  });

  await t.test("the API's flag works in broadcast and batch, too", async () => {
    const channel = fresh("asked");
    const client = await subscribe(channel);
    const send = (seq) => ({ data: JSON.parse(state(seq)), delta: true });
    await server.call("publish", { channel, ...send(1) });
    await server.call("broadcast", { channels: [channel], ...send(2) });
    await server.call("batch", { commands: [{ publish: { channel, ...send(3) } }] });
    let text = (await next(client)).data;
    for (let seq = 2; seq <= 3; seq++) {
      const pub = await next(client);
      assert.equal(pub.delta, true);
      text = applyFossil(text, pub.data).toString();
      assert.equal(text, state(seq));
    }
  });

  await t.test("what clients publish is compressed as well", async () => {
    const channel = fresh("chat");
    const client = await subscribe(channel);
    await client.call("publish", { channel, data: JSON.parse(state(1)) });
    await client.call("publish", { channel, data: JSON.parse(state(2)) });
    assert.equal((await next(client)).data, state(1));
    const pub = await next(client);
    assert.equal(pub.delta, true);
    assert.equal(pub.info.user, "1");
    assert.equal(applyFossil(state(1), pub.data).toString(), state(2));
  });

  await t.test("a patch that is no shorter is not sent, and is the next one's base", async () => {
    const channel = fresh("delta");
    const client = await subscribe(channel);
    const texts = [state(1), `{"quite":"different","from":"it"}`, `{"quite":"different","from":"that"}`];
    for (const text of texts) await publish(channel, text);
    assert.equal((await next(client)).data, texts[0]);
    const second = await next(client);
    assert.deepEqual([second.data, second.delta], [texts[1], undefined]);
    const third = await next(client);
    assert.equal(third.delta, true);
    assert.equal(applyFossil(texts[1], third.data).toString(), texts[2]);
  });

  await t.test("a version comes with a whole publication only", async () => {
    const channel = fresh("delta");
    const client = await subscribe(channel);
    await publish(channel, state(1), ',"version":1');
    await publish(channel, state(2), ',"version":2');
    assert.equal((await next(client)).version, 1);
    const patch = await next(client);
    assert.deepEqual([patch.delta, patch.version], [true, undefined]);
  });

  await t.test("newlines, escapes and long numbers survive as text", async () => {
    const channel = fresh("delta");
    const client = await subscribe(channel);
    const filler = "\u00fc\u20ac\u{1F600} ".repeat(10);
    const texts = [
      `{\n "a": [],\n "n": 12345678901234567890,\n "f": 1.0, "s": "\\u00e9\\n\\"${filler}"\n}`,
      `{\n "a": [],\n "n": 12345678901234567891,\n "f": 1.0, "s": "\\u00e9\\n\\"${filler}"\n}`,
    ];
    for (const text of texts) await publish(channel, text);
    assert.equal((await next(client)).data, texts[0]);
    const pub = await next(client);
    assert.equal(pub.delta, true);
    assert.equal(applyFossil(texts[0], pub.data).toString(), texts[1]);
  });

  await t.test("a patch never cuts a character", async () => {
    const channel = fresh("delta");
    const client = await subscribe(channel);
    const characters = ["\u00e9", "\u00ea", "\u20ac", "\u20ad", "\u{1F600}", "\u{1F601}", "a"];
    let seed = 5;
    const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
    const letters = Array.from({ length: 80 }, () => characters[random(characters.length)]);
    let text = null;
    let patches = 0;
    for (let round = 0; round < 40; round++) {
      letters[random(letters.length)] = characters[random(characters.length)];
      const target = JSON.stringify({ text: letters.join("") });
      await publish(channel, target);
      const pub = await next(client);
      text = pub.delta ? applyFossil(text, pub.data).toString() : pub.data;
      patches += pub.delta ? 1 : 0;
      assert.equal(text, target);
    }
    assert.ok(patches > 30, `${patches} patches`);
  });

  await t.test("without positioning, or without history, there are strings but no patches", async () => {
    for (const namespace of ["loose", "bare"]) {
      const channel = fresh(namespace);
      const client = await subscribe(channel);
      assert.equal(client.result.delta, true);
      for (let seq = 1; seq <= 3; seq++) {
        await publish(channel, state(seq));
        const pub = await next(client);
        assert.deepEqual([pub.data, pub.delta], [state(seq), undefined]);
      }
    }
  });

  await t.test("a history of one is enough", async () => {
    const channel = fresh("one");
    const client = await subscribe(channel);
    for (let seq = 1; seq <= 3; seq++) await publish(channel, state(seq));
    assert.equal((await next(client)).data, state(1));
    assert.equal((await next(client)).delta, true);
    assert.equal((await next(client)).delta, true);
  });

  await t.test("an unsaved publication, and a removed history, begin anew", async () => {
    const channel = fresh("delta");
    const client = await subscribe(channel);
    await publish(channel, state(1));
    await publish(channel, state(2), `,"skip_history":true`);
    await publish(channel, state(3));
    await publish(channel, state(4));
    const got = [await next(client), await next(client), await next(client), await next(client)];
    assert.deepEqual(
      got.map((pub) => Boolean(pub.delta)),
      [false, false, false, true],
    );
    assert.equal(applyFossil(state(3), got[3].data).toString(), state(4));
    await server.call("history_remove", { channel });
    await publish(channel, state(5));
    await publish(channel, state(6));
    assert.equal((await next(client)).data, state(5));
    assert.equal(applyFossil(state(5), (await next(client)).data).toString(), state(6));
  });

  await t.test("subscribers of different times each get what they can use", async () => {
    const channel = fresh("delta");
    const early = await subscribe(channel);
    await publish(channel, state(1));
    await publish(channel, state(2));
    const late = await subscribe(channel);
    const plain = await subscribe(channel, {});
    await publish(channel, state(3));
    await publish(channel, state(4));
    const flags = async (client, n) => {
      const out = [];
      for (let i = 0; i < n; i++) out.push(Boolean((await next(client)).delta));
      return out;
    };
    assert.deepEqual(await flags(early, 4), [false, true, true, true]);
    assert.deepEqual(await flags(late, 2), [false, true]);
    assert.deepEqual(await flags(plain, 2), [false, false]);
  });

  await t.test("recovery: the first whole, the others patches, the live one a patch of the last", async () => {
    const channel = fresh("asked"); /* the flag of the publish does not matter here */
    for (let seq = 1; seq <= 4; seq++) await publish(channel, state(seq));
    const { epoch } = await server.call("history", { channel });
    const client = await subscribe(channel, { delta: "fossil", recover: true, offset: 1, epoch });
    assert.equal(client.result.recovered, true);
    const [two, three, four] = client.result.publications;
    assert.deepEqual([two.data, two.delta, two.offset], [state(2), undefined, 2]);
    assert.deepEqual([three.delta, three.offset, four.delta, four.offset], [true, 3, true, 4]);
    assert.equal(applyFossil(state(2), three.data).toString(), state(3));
    assert.equal(applyFossil(state(3), four.data).toString(), state(4));
    await publish(channel, state(5), `,"delta":true`);
    const live = await next(client);
    assert.equal(live.delta, true);
    assert.equal(applyFossil(state(4), live.data).toString(), state(5));
  });

  await t.test("recovery of nothing, and a failed one, are followed by a whole one", async () => {
    const channel = fresh("delta");
    await publish(channel, state(1));
    const { epoch } = await server.call("history", { channel });
    const same = await subscribe(channel, { delta: "fossil", recover: true, offset: 1, epoch });
    assert.equal(same.result.recovered, true);
    const lost = await subscribe(channel, { delta: "fossil", recover: true, offset: 1, epoch: "other" });
    assert.equal(lost.result.recovered, undefined);
    await publish(channel, state(2));
    for (const client of [same, lost]) {
      const pub = await next(client);
      assert.deepEqual([pub.data, pub.delta], [state(2), undefined]);
    }
  });

  await t.test("history stays plain for such a subscription", async () => {
    const channel = fresh("chat");
    const client = await subscribe(channel);
    await publish(channel, state(1));
    await publish(channel, state(2));
    const { publications } = await client.call("history", { channel, limit: 10 });
    assert.deepEqual(
      publications.map(({ data, delta }) => ({ data, delta })),
      [1, 2].map((seq) => ({ data: JSON.parse(state(seq)), delta: undefined })),
    );
  });

  await t.test("binary data end a JSON client as ever, and only that one", async () => {
    const channel = fresh("delta");
    const json = await subscribe(channel);
    const data = Buffer.alloc(200, 0xff).toString("base64");
    await server.call("publish", { channel, b64data: data });
    await json.expectClose(3506);
    const other = await subscribe(channel);
    await publish(channel, state(1));
    assert.equal((await next(other)).data, state(1));
  });

  await t.test("joins are told to both forms alike", async () => {
    const channel = fresh("loud");
    const client = await subscribe(channel);
    assert.equal((await client.push("join", channel)).info.user, "1");
    const other = await server.connect("2");
    await other.subscribe(channel);
    assert.equal((await client.push("join", channel)).info.user, "2");
  });

  await t.test("a server-side subscription may ask in the connect command", async () => {
    const channel = fresh("delta");
    for (let seq = 1; seq <= 3; seq++) await publish(channel, state(seq));
    const { epoch } = await server.call("history", { channel });
    const client = await server.connect("1", {
      subs: { [channel]: { delta: "fossil", recover: true, offset: 1, epoch } },
    });
    const sub = client.connected.subs[channel];
    assert.equal(sub.delta, true);
    assert.equal(sub.publications[0].data, state(2));
    assert.equal(applyFossil(state(2), sub.publications[1].data).toString(), state(3));
    await publish(channel, state(4));
    const live = await next(client);
    assert.equal(live.delta, true);
    assert.equal(applyFossil(state(3), live.data).toString(), state(4));
  });
});
