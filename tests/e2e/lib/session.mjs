// A client that costs next to nothing, so that a test can have tens of thousands: one TCP socket,
// frames written and read by hand, several commands in each.
import net from "node:net";

const UPGRADE =
  "GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/** A masked frame; a mask of zeros leaves the payload as it is. */
function frame(opcode, payload) {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(body.length < 126 ? 6 : 8);
  head[0] = 0x80 | opcode;
  if (body.length < 126) {
    head[1] = 0x80 | body.length;
  } else {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(body.length, 2);
  }
  return Buffer.concat([head, body]);
}

export class Session {
  /** n: chooses a loopback address to come from, so that one does not run out of ports. */
  constructor(port, n = 0) {
    this.waiting = null;
    this.isClosed = false;
    this.input = Buffer.alloc(0);
    this.upgraded = false;
    this.closeCode = null;
    this.socket = net.connect({ port, host: "127.0.0.1", localAddress: `127.0.0.${2 + (n % 200)}`, noDelay: true });
    this.socket.on("data", (bytes) => this.read(bytes));
    this.socket.on("error", () => {});
    this.socket.once("close", () => {
      this.isClosed = true;
      this.wake();
    });
    this.socket.write(UPGRADE);
  }

  wake() {
    const wake = this.waiting;
    this.waiting = null;
    wake?.();
  }

  read(bytes) {
    this.input = this.input.length === 0 ? bytes : Buffer.concat([this.input, bytes]);
    if (!this.upgraded) {
      const end = this.input.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.upgraded = true;
      this.input = this.input.subarray(end + 4);
    }
    for (;;) {
      if (this.input.length < 2) break;
      const short = this.input[1] & 127;
      const at = short === 126 ? 4 : 2;
      if (this.input.length < at) break;
      const length = short === 126 ? this.input.readUInt16BE(2) : short;
      if (this.input.length < at + length) break;
      const payload = this.input.subarray(at, at + length);
      if ((this.input[0] & 15) === 1) for (const text of payload.toString().split("\n")) this.onMessage(JSON.parse(text));
      if ((this.input[0] & 15) === 8) {
        this.closeCode = length >= 2 ? payload.readUInt16BE(0) : 1005;
        this.socket.end(); // what a peer does when it is told
      }
      this.input = this.input.subarray(at + length);
    }
    this.wake();
  }

  /** Overwritten by whoever wants to see replies and pushes. */
  onMessage() {}

  /** Commands in one frame. */
  send(...commands) {
    this.socket.write(frame(1, commands.map((command) => JSON.stringify(command)).join("\n")));
  }

  /** Waits until it is so, or the connection has ended. */
  async until(is) {
    while (!this.isClosed && !is()) await new Promise((done) => (this.waiting = done));
  }

  /** The closing handshake. */
  close(code = 1000) {
    this.socket.write(frame(8, Buffer.from([code >> 8, code & 255])));
    return this.until(() => false);
  }

  /** Gone without a word; abrupt: by a reset, unless it is ending already. */
  drop(abrupt) {
    if (abrupt && this.closeCode === null) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }
}
