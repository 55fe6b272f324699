import assert from "node:assert/strict";
import test from "node:test";
import { API_KEY, startServer } from "./lib/server.mjs";

const post = (headers, body = "", path = "/api/info") =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\n${headers}\r\n${body}`;
const get = (headers, target = "/health") => `GET ${target} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;

// name, bytes, expected status; the connection must end
const CASES = [
  ["Transfer-Encoding with Content-Length", post("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "2\r\n{}\r\n0\r\n\r\n"), 400],
  ["Content-Length with Transfer-Encoding", post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), 400],
  ["Transfer-Encoding: chunked, gzip", post("Transfer-Encoding: chunked, gzip\r\n", "2\r\n{}\r\n0\r\n\r\n"), 400],
  ["Transfer-Encoding: xchunked", post("Transfer-Encoding: xchunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), [400, 501]],
  ["two different Content-Lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"), 400],
  ["Content-Length: +2", post("Content-Length: +2\r\n", "{}"), 400],
  ["Content-Length: 0x2", post("Content-Length: 0x2\r\n", "{}"), 400],
  ["Content-Length: 2 ,2", post("Content-Length: 2 ,2\r\n", "{}"), 400],
  ["Content-Length: -2", post("Content-Length: -2\r\n", "{}"), 400],
  ["a Content-Length of 30 digits", post(`Content-Length: ${"9".repeat(30)}\r\n`, "{}"), [400, 413]],
  ["a Content-Length of 1 TB", post("Content-Length: 1099511627776\r\n", "{}"), 413],
  ["a chunk size of 17 digits", post("Transfer-Encoding: chunked\r\n", "10000000000000002\r\n{}\r\n0\r\n\r\n"), 400],
  ["a chunk size of -1", post("Transfer-Encoding: chunked\r\n", "-1\r\n{}\r\n0\r\n\r\n"), 400],
  ["a chunk size with a space", post("Transfer-Encoding: chunked\r\n", " 2\r\n{}\r\n0\r\n\r\n"), 400],
  ["a chunk size ended by LF", post("Transfer-Encoding: chunked\r\n", "2\n{}\r\n0\r\n\r\n"), 400],
  ["a bare CR in a header", get("X-A: a\rb\r\n"), 400],
  ["a header without a colon", get("Nonsense\r\n"), 400],
  ["a space before the colon", get("X-A : b\r\n"), 400],
  ["obs-fold", get("X-A: a\r\n b\r\n"), 400],
  ["NUL in a value", get("X-A: a\0b\r\n"), 400],
  ["an empty header name", get(": b\r\n"), 400],
  ["no Host", "GET /health HTTP/1.1\r\n\r\n", 400],
  ["two Hosts", get("Host: y\r\n"), 400],
  ["HTTP/0.9", "GET /health\r\n\r\n", 400],
  ["HTTP/3.7", "GET /health HTTP/3.7\r\nHost: x\r\n\r\n", [400, 505]],
  ["an unknown method", "NONSENSE /health HTTP/1.1\r\nHost: x\r\n\r\n", [400, 405, 501]],
  ["lower-case method", "get /health HTTP/1.1\r\nHost: x\r\n\r\n", [400, 405, 501]],
  ["binary", Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 7 + 1) % 256)), 400],
  ["a TLS hello", Buffer.from("16030100f8010000f40303000d0a0d0a", "hex"), 400],
  ["a HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400, 505]],
  ["2 000 headers", get(Array.from({ length: 2000 }, (_, i) => `X-${i}: y\r\n`).join("")), 431],
  ["a header of 1 MB", get(`X-A: ${"y".repeat(1 << 20)}\r\n`), 431],
  ["a header name of 1 MB", get(`${"y".repeat(1 << 20)}: x\r\n`), 431],
  ["a target of 64 KB", get("", `/${"y".repeat(1 << 16)}`), 414],
  ["a target of 10^5 %00", get("", `/${"%00".repeat(100000)}`), 414],
];

test("hostile HTTP", async (t) => {
  const server = await startServer(t);
  const witness = await server.connect("witness");

  for (const [name, bytes, statuses] of CASES) {
    await t.test(`${name}: ${statuses}`, async () => {
      const tcp = await server.tcp();
      tcp.write(bytes);
      const answer = await tcp.response();
      assert.ok(answer, "the connection ended without an answer");
      assert.ok([statuses].flat().includes(answer.status), `answered ${answer.status}`);
      await tcp.end();
      assert.equal(tcp.received.length, 0, `more came: ${tcp.text.slice(0, 100)}`);
    });
  }

  await t.test("leading zeros in Content-Length are refused or read as a decimal", async () => {
    const tcp = await server.tcp();
    tcp.write(post("Content-Length: 002\r\nConnection: close\r\n", "{}"));
    assert.ok([200, 400].includes((await tcp.response()).status));
    await tcp.end();
  });

  await t.test("paths are compared exactly", async () => {
    for (const path of ["//api/info", "/api//info", "/api/info/", "/API/info", "/api/../api/info", "/api/%69nfo", "/health/x", "/..%2f..%2fetc/passwd"]) {
      const { status } = await server.request("POST", path, { headers: { "X-API-Key": API_KEY }, body: "{}" });
      assert.equal(status, 404, path);
    }
  });

  await t.test("a request smuggled in a body gets no answer of its own", async () => {
    const tcp = await server.tcp();
    const inner = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    tcp.write(post(`Content-Length: ${inner.length}\r\nConnection: close\r\n`, inner));
    assert.equal((await tcp.response()).status, 400, "the body is no JSON");
    await tcp.end();
    assert.equal(tcp.received.length, 0);
  });

  await t.test("200 unfinished requests disturb nobody", async () => {
    await Promise.all(
      Array.from({ length: 200 }, async () => {
        const tcp = await server.tcp();
        tcp.write("GET /heal");
        return tcp;
      }),
    );
    await witness.assertAlive();
    assert.equal((await server.request("GET", "/health")).status, 200);
  });
});
