// Bytes on a TCP connection, for input that no library would send.
import net from "node:net";
import { randomBytes } from "node:crypto";
import { PATIENCE_MS, sleep, within } from "./wait.mjs";

export class Tcp {
  static open(port) {
    return new Promise((done, fail) => {
      const socket = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true }, () => done(new Tcp(socket)));
      socket.once("error", fail);
    });
  }

  constructor(socket) {
    this.socket = socket;
    this.received = Buffer.alloc(0);
    this.waiting = [];
    this.isClosed = false;
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      this.received = Buffer.concat([this.received, bytes]);
      this.wake();
    });
    this.closed = new Promise((done) => {
      const end = () => {
        this.isClosed = true;
        done();
        this.wake();
      };
      socket.once("end", end);
      socket.once("close", end);
    });
  }

  wake() {
    for (const wake of this.waiting.splice(0)) wake();
  }

  write(bytes) {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  get text() {
    return this.received.toString("latin1");
  }

  /** Waits until `find(received)` is neither undefined, null nor false; null when closed before. */
  async find(find, what, ms = PATIENCE_MS) {
    const end = Date.now() + ms;
    for (;;) {
      const found = find(this.received);
      if (found !== undefined && found !== null && found !== false) return found;
      if (this.isClosed) return null;
      if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}; received: ${this.text.slice(0, 500)}`);
      await Promise.race([new Promise((done) => this.waiting.push(done)), sleep(100)]);
    }
  }

  /** Waits for the end of the connection. */
  end(ms = PATIENCE_MS) {
    return within(this.closed, () => `the end of the connection; received: ${this.text.slice(0, 500)}`, ms);
  }

  /** Takes one HTTP response with a Content-Length (or none) from the front of what was received. */
  async response() {
    return this.find((bytes) => {
      const headEnd = bytes.indexOf("\r\n\r\n");
      if (headEnd < 0) return null;
      const head = bytes.subarray(0, headEnd).toString("latin1");
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      if (bytes.length < headEnd + 4 + length) return null;
      const body = bytes.subarray(headEnd + 4, headEnd + 4 + length).toString();
      this.received = bytes.subarray(headEnd + 4 + length);
      return { status, head, body };
    }, "an HTTP response");
  }

  /** Does the WebSocket handshake; `more` is sent in the same packet, right behind it. */
  async upgrade({ path = "/connection/websocket", headers = "", more = Buffer.alloc(0) } = {}) {
    const head =
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\n${headers}\r\n`;
    this.write(Buffer.concat([Buffer.from(head), more]));
    return this.response();
  }

  /** Takes the next server frame: { opcode, payload, first } or null at the end of the connection. */
  frame() {
    return this.find((bytes) => {
      if (bytes.length < 2) return null;
      let length = bytes[1] & 0x7f;
      let at = 2;
      if (length === 126) {
        if (bytes.length < 4) return null;
        length = bytes.readUInt16BE(2);
        at = 4;
      } else if (length === 127) {
        if (bytes.length < 10) return null;
        length = Number(bytes.readBigUInt64BE(2));
        at = 10;
      }
      if (bytes.length < at + length) return null;
      const frame = { first: bytes[0], opcode: bytes[0] & 0x0f, payload: bytes.subarray(at, at + length) };
      this.received = bytes.subarray(at + length);
      return frame;
    }, "a frame");
  }

  /** Skips data frames; the code of the close frame, or null if the connection ended without one. */
  async closeCode() {
    for (;;) {
      const frame = await this.frame();
      if (frame === null) return null;
      if (frame.opcode === 8) return frame.payload.length >= 2 ? frame.payload.readUInt16BE(0) : 1005;
    }
  }

  destroy() {
    this.socket.destroy();
  }
}

/** A client frame, masked unless told otherwise. first: FIN, RSV and opcode as one byte. */
export function frameBytes(first, payload, { mask = true, lengthBytes } = {}) {
  const body = Buffer.from(payload);
  const bytes = lengthBytes ?? (body.length < 126 ? 0 : body.length < 65536 ? 2 : 8);
  const head = Buffer.alloc(2 + bytes);
  head[0] = first;
  if (bytes === 0) head[1] = body.length;
  if (bytes === 2) {
    head[1] = 126;
    head.writeUInt16BE(body.length, 2);
  }
  if (bytes === 8) {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(body.length), 2);
  }
  if (!mask) return Buffer.concat([head, body]);
  head[1] |= 0x80;
  const key = randomBytes(4);
  return Buffer.concat([head, key, body.map((byte, i) => byte ^ key[i % 4])]);
}
