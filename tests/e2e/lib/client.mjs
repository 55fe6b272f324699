// A client that speaks the JSON protocol by hand, so that tests see every message as it came.
import assert from "node:assert/strict";
import { WebSocket } from "ws";
import { PATIENCE_MS, sleep, within } from "./wait.mjs";

export class Client {
  /** options: origin, headers, query, protocols, pong (answer pings; default true) */
  static async open(server, options = {}) {
    const client = new Client(server, options);
    await within(client.opened, () => "the WebSocket to open");
    return client;
  }

  constructor(server, { origin, headers, query = "", protocols = [], pong = true } = {}) {
    this.lastId = 0;
    this.pong = pong;
    /** everything that came, in order: { text, message } */
    this.log = [];
    this.inbox = [];
    this.waiting = [];
    this.frames = 0;
    this.pings = 0;
    this.ws = new WebSocket(server.wsUrl + query, protocols, { origin, headers, perMessageDeflate: false });
    this.opened = new Promise((done, fail) => {
      this.ws.once("open", done);
      this.ws.once("error", fail);
    });
    this.ws.on("error", () => {});
    this.closed = new Promise((done) => {
      this.ws.once("close", (code, reason) => {
        this.close = { code, reason: reason.toString() };
        done(this.close);
        this.wake();
      });
    });
    this.ws.on("message", (bytes, isBinary) => this.receive(bytes.toString(), isBinary));
  }

  receive(frame, isBinary) {
    this.frames += 1;
    assert.equal(isBinary, false, "JSON must come in text frames");
    for (const text of frame.split("\n")) {
      const entry = { text, message: JSON.parse(text), frame: this.frames };
      this.log.push(entry);
      if (text === "{}") {
        this.pings += 1;
        if (this.pong) this.ws.send("{}");
      } else {
        this.inbox.push(entry);
      }
    }
    this.wake();
  }

  shortInbox() {
    return this.inbox
      .slice(0, 10)
      .map(({ text }) => text.slice(0, 200))
      .join(" ");
  }

  wake() {
    for (const wake of this.waiting.splice(0)) wake();
  }

  send(value) {
    this.ws.send(typeof value === "string" || Buffer.isBuffer(value) ? value : JSON.stringify(value));
  }

  /** Takes the first message that fits out of the inbox, waiting for it. */
  async take(fits, what, ms = PATIENCE_MS) {
    const end = Date.now() + ms;
    for (;;) {
      const at = this.inbox.findIndex(({ message, text }) => fits(message, text));
      if (at >= 0) return this.inbox.splice(at, 1)[0];
      const rest = end - Date.now();
      const state = () => `${what}; closed: ${JSON.stringify(this.close)}; inbox: ${this.shortInbox()}`;
      if (this.close) throw new Error(`the connection closed before ${state()}`);
      if (rest <= 0) throw new Error(`waited ${ms} ms for ${state()}`);
      await Promise.race([new Promise((done) => this.waiting.push(done)), sleep(Math.min(rest, 200))]);
    }
  }

  /** Sends one command and returns the whole reply. */
  async command(method, params = {}) {
    const id = ++this.lastId;
    this.send({ id, [method]: params });
    return this.reply(id, `the reply to ${method} ${JSON.stringify(params).slice(0, 200)}`);
  }

  async reply(id, what = `reply ${id}`) {
    return (await this.take((message) => message.id === id, what)).message;
  }

  /** Sends one command that must succeed; returns its result. */
  async call(method, params) {
    const reply = await this.command(method, params);
    assert.equal(reply.error, undefined, `${method}: ${JSON.stringify(reply)}`);
    assert.ok(reply[method], `${method} has no result: ${JSON.stringify(reply)}`);
    return reply[method];
  }

  /** Sends one command that must be refused with this error code. */
  async refused(method, params, code) {
    const reply = await this.command(method, params);
    assert.equal(reply.error?.code, code, `${method} ${JSON.stringify(params)}: ${JSON.stringify(reply)}`);
    assert.equal(reply[method], undefined);
    return reply.error;
  }

  subscribe(channel, more = {}) {
    return this.call("subscribe", { channel, ...more });
  }

  /** The next push of a kind (pub, join, leave, …) in a channel; returns its body. */
  async push(kind, channel) {
    return (await this.pushEntry(kind, channel)).message.push[kind];
  }

  pushEntry(kind, channel) {
    return this.take(
      (message) => message.push?.[kind] && (channel === undefined || message.push.channel === channel),
      `a ${kind} push of ${channel}`,
    );
  }

  /** Nothing but pings comes until an answer to a later command is there. */
  async quiet(ms = 150) {
    await sleep(ms);
    assert.deepEqual(
      this.inbox.map((entry) => entry.text),
      [],
    );
  }

  async expectClose(code, reason) {
    const close = await within(this.closed, () => `close ${code}; inbox: ${this.shortInbox()}`);
    assert.equal(close.code, code, JSON.stringify(close));
    if (reason !== undefined) assert.equal(close.reason, reason);
    return close;
  }

  /** The connection works: what somebody else did has not harmed it. */
  async assertAlive() {
    const reply = await this.command("unsubscribe", { channel: "not-subscribed" });
    assert.deepEqual(reply.unsubscribe, {});
  }

  destroy() {
    this.ws.terminate();
  }
}
