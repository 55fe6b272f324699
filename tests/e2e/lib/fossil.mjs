// Applies a fossil delta, so that tests can follow a chain of publications by hand.
import assert from "node:assert/strict";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/** base and delta are texts or buffers; returns a buffer. */
export function applyFossil(base, delta) {
  const source = Buffer.from(base);
  const bytes = Buffer.from(delta);
  let at = 0;
  const number = () => {
    let value = 0;
    for (; DIGITS.includes(String.fromCharCode(bytes[at])); at++) {
      value = value * 64 + DIGITS.indexOf(String.fromCharCode(bytes[at]));
    }
    return value;
  };
  const size = number();
  assert.equal(bytes[at++], 10, "a newline behind the size");
  const parts = [];
  for (;;) {
    const n = number();
    const mark = String.fromCharCode(bytes[at++]);
    if (mark === ";") {
      const target = Buffer.concat(parts);
      assert.equal(target.length, size, "the size");
      const words = Buffer.concat([target, Buffer.alloc((4 - (size % 4)) % 4)]);
      let sum = 0;
      for (let i = 0; i < words.length; i += 4) sum = (sum + words.readUInt32BE(i)) >>> 0;
      assert.equal(n, sum, "the checksum");
      return target;
    }
    if (mark === "@") {
      const from = number();
      assert.equal(String.fromCharCode(bytes[at++]), ",");
      assert.ok(from + n <= source.length, "the copy lies in the base");
      parts.push(source.subarray(from, from + n));
    } else {
      assert.equal(mark, ":");
      parts.push(bytes.subarray(at, at + n));
      at += n;
    }
  }
}
