// perigee.http: hooks and methods that ask other servers, while everybody else goes on.
import assert from "node:assert/strict";
import net from "node:net";
import test from "node:test";
import { makeAuthority, startBackend } from "./lib/backend.mjs";
import { lua } from "./lib/lua.mjs";
import { scratch, startServer } from "./lib/server.mjs";
import { sleep, until, within } from "./lib/wait.mjs";

const asks = {
  get: lua(`function(client, data)
    local answer, problem = perigee.http.get(data.url, data.options)
    if not answer then return { problem = problem } end
    return { status = answer.status, headers = answer.headers, body = answer.body }
  end`),
  request: lua(`function(client, data)
    local answer, problem = perigee.http.request(data)
    if not answer then return { problem = problem } end
    return { status = answer.status, headers = answer.headers, body = answer.body }
  end`),
  time: lua("function() return { now = perigee.now() } end"),
};

const rpc = async (client, method, data) => (await client.call("rpc", { method, data })).data;

async function body(request) {
  let text = "";
  for await (const part of request) text += part;
  return text;
}

test("plain HTTP", async (t) => {
  const seen = [];
  const backend = await startBackend(t, async (request, response) => {
    const text = await body(request);
    seen.push({ method: request.method, url: request.url, headers: request.headers, text });
    if (request.url === "/slow") await sleep(700);
    if (request.url === "/redirect") return response.writeHead(302, { Location: "/elsewhere" }).end();
    if (request.url === "/huge") {
      response.writeHead(200, { "Content-Length": 1 << 30 });
      return response.write("x".repeat(1 << 20));
    }
    if (request.url === "/endless") {
      response.on("error", () => {});
      const piece = Buffer.alloc(1 << 16, "x");
      const more = () => response.destroyed || response.write(piece, () => setImmediate(more));
      return more();
    }
    if (request.url === "/never") return;
    response.setHeader("X-Two", ["a", "b"]);
    response.writeHead(request.url === "/missing" ? 404 : 200, { "Content-Type": "application/json" });
    for (const part of ['{"you":', JSON.stringify(request.method), "}"]) response.write(part);
    response.end();
  });
  const server = await startServer(t, { config: { rpc: asks } });
  const client = await server.connect("ann");

  await t.test("get answers with status, headers and body", async () => {
    const answer = await rpc(client, "get", { url: `${backend.url}/a?b=c` });
    assert.equal(answer.status, 200);
    assert.equal(answer.body, '{"you":"GET"}');
    assert.equal(answer.headers["content-type"], "application/json");
    assert.equal(answer.headers["x-two"], "a, b");
    assert.equal(seen.at(-1).url, "/a?b=c");
    assert.equal(seen.at(-1).headers.host, `127.0.0.1:${backend.port}`);
    assert.match(seen.at(-1).headers["user-agent"], /^perigee\//);
  });
  await t.test("request sends method, headers and body", async () => {
    const answer = await rpc(client, "request", {
      method: "POST",
      url: `${backend.named}/post`,
      headers: { "X-Mine": "yes", "Content-Type": "text/plain" },
      body: "grüße",
    });
    assert.equal(answer.body, '{"you":"POST"}');
    assert.equal(seen.at(-1).text, "grüße");
    assert.equal(seen.at(-1).headers["x-mine"], "yes");
    assert.equal(seen.at(-1).headers["content-length"], "7");
  });
  await t.test("an error status is an answer like others", async () => {
    assert.equal((await rpc(client, "get", { url: `${backend.url}/missing` })).status, 404);
  });
  await t.test("a redirect is not followed", async () => {
    const before = seen.length;
    const answer = await rpc(client, "get", { url: `${backend.url}/redirect` });
    assert.equal(answer.status, 302);
    assert.equal(answer.headers.location, "/elsewhere");
    assert.equal(seen.length, before + 1);
  });
  await t.test("connections are kept and used again", async () => {
    const before = backend.connections;
    for (let i = 0; i < 10; i += 1) await rpc(client, "get", { url: `${backend.url}/` });
    assert.ok(backend.connections - before <= 1, `${backend.connections - before} new connections`);
  });
  await t.test("a huge body is cut, announced or not", async () => {
    assert.match((await rpc(client, "get", { url: `${backend.url}/huge` })).problem, /larger than allowed/);
    assert.match((await rpc(client, "get", { url: `${backend.url}/endless` })).problem, /larger than allowed/);
  });
  await t.test("a time-out is nil and a message", async () => {
    const start = Date.now();
    const { problem } = await rpc(client, "get", { url: `${backend.url}/never`, options: { timeout: 0.2 } });
    assert.match(problem, /time-out/);
    assert.ok(Date.now() - start < 5000);
  });
  await t.test("nobody there is nil and a message", async () => {
    assert.match((await rpc(client, "get", { url: "http://127.0.0.1:1/" })).problem, /cannot be connected/);
    assert.match((await rpc(client, "get", { url: "nonsense" })).problem, /not a valid/);
  });
  await t.test("a header cannot smuggle in another", async () => {
    const { problem } = await rpc(client, "get", { url: backend.url, options: { headers: { X: "a\r\nY: b" } } });
    assert.match(problem, /header/);
  });
  await t.test("misuse raises: the command fails with 100", async () => {
    await client.refused("rpc", { method: "request", data: {} }, 100);
    await client.refused("rpc", { method: "get", data: { url: backend.url, options: { timeuot: 1 } } }, 100);
    await server.logged(/unknown field timeuot/);
  });
  await t.test("others go on while one waits, and its own commands stay in order", async () => {
    const other = await server.connect("bob");
    const start = Date.now();
    client.send(
      `{"id":501,"rpc":{"method":"get","data":{"url":"${backend.url}/slow"}}}\n{"id":502,"rpc":{"method":"time","data":{}}}`,
    );
    for (let i = 0; i < 20; i += 1) await rpc(other, "time", {});
    assert.ok(Date.now() - start < 600, "the other client waited");
    await client.reply(502);
    assert.ok(Date.now() - start >= 690);
    assert.ok(client.log.findIndex(({ message }) => message.id === 501) < client.log.findIndex(({ message }) => message.id === 502));
  });
});

test("a broken server", async (t) => {
  const broken = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes) => {
      if (bytes.includes("/reset")) socket.resetAndDestroy();
      else socket.end("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\nhello");
    });
  });
  await new Promise((done) => broken.listen(0, "127.0.0.1", done));
  t.after(() => broken.close());
  const url = `http://127.0.0.1:${broken.address().port}`;
  const server = await startServer(t, { config: { rpc: asks } });
  const client = await server.connect("ann");

  assert.ok((await rpc(client, "get", { url: `${url}/reset` })).problem);
  assert.ok((await rpc(client, "get", { url: `${url}/garbage` })).problem);
  await client.assertAlive();
});

test("HTTPS is verified", async (t) => {
  const folder = scratch(t);
  const trusted = makeAuthority(folder);
  const stranger = makeAuthority(scratch(t));
  const hello = (request, response) => response.end("hello over TLS");
  const good = await startBackend(t, hello, { tls: trusted.issue("DNS:localhost,IP:127.0.0.1") });
  const otherName = await startBackend(t, hello, { tls: trusted.issue("DNS:example.test") });
  const unknown = await startBackend(t, hello, { tls: stranger.issue("DNS:localhost,IP:127.0.0.1") });
  const old = await startBackend(t, hello, {
    tls: { ...trusted.issue("DNS:localhost"), minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
  });
  const tls12 = await startBackend(t, hello, { tls: { ...trusted.issue("DNS:localhost"), maxVersion: "TLSv1.2" } });
  const big = await startBackend(t, (request, response) => response.end("x".repeat(900000)), {
    tls: trusted.issue("DNS:localhost"),
  });
  const plain = await startBackend(t, hello);
  const server = await startServer(t, { config: { rpc: asks }, env: { SSL_CERT_FILE: trusted.path } });
  const client = await server.connect("ann");
  const get = (url) => rpc(client, "get", { url });

  await t.test("a certificate for the name, and for the address", async () => {
    assert.equal((await get(`${good.named}/`)).body, "hello over TLS");
    assert.equal((await get(`${good.url}/`)).body, "hello over TLS");
    assert.equal((await get(`${tls12.named}/`)).body, "hello over TLS");
  });
  await t.test("connections are kept", async () => {
    const before = good.connections;
    for (let i = 0; i < 5; i += 1) await get(`${good.named}/`);
    assert.ok(good.connections - before <= 1);
  });
  await t.test("a large body", async () => {
    assert.equal((await get(`${big.named}/`)).body.length, 900000);
  });
  await t.test("another name is refused", async () => {
    assert.match((await get(`${otherName.named}/`)).problem, /TLS: .*host/i);
  });
  await t.test("another authority is refused", async () => {
    assert.match((await get(`${unknown.named}/`)).problem, /TLS: /);
  });
  await t.test("TLS 1.1 is refused", async () => {
    assert.match((await get(`${old.named}/`)).problem, /TLS: |closed/);
  });
  await t.test("plain HTTP is no TLS", async () => {
    assert.match((await get(`https://localhost:${plain.port}/`)).problem, /TLS: |closed/);
  });
});

test("a connect hook that asks a backend, and a timer that does", async (t) => {
  const calls = [];
  const backend = await startBackend(t, async (request, response) => {
    calls.push(request.url);
    response.end(request.headers.authorization === "let-me-in" ? "ann" : "");
  });
  const server = await startServer(t, {
    config: {
      hooks: {
        connect: lua(`function(ctx)
          local answer = perigee.http.request {
            method = "POST", url = "${backend.url}/connect",
            headers = { Authorization = ctx.data and ctx.data.key or "" }, timeout = 5,
          }
          if not answer or answer.body == "" then return perigee.disconnect_code(4001, "who are you") end
          return { user = answer.body }
        end`),
        start: lua(`function() perigee.after(0.01, function() perigee.http.get("${backend.url}/timer") end) end`),
      },
    },
  });
  const ann = await server.open();
  const stranger = await server.open();
  await ann.call("connect", { data: { key: "let-me-in" } });
  stranger.send({ id: 1, connect: {} });
  await stranger.expectClose(4001, "who are you");
  assert.equal((await server.call("channels")) !== undefined, true);
  await until(() => calls.includes("/timer"), "the timer to ask");
});

test("it may not wait in a coroutine that the script made, nor while config.lua loads", async (t) => {
  const server = await startServer(t, {
    config: {
      rpc: {
        inner: lua(`function()
          local co = coroutine.create(function() return perigee.http.get("http://127.0.0.1:1/") end)
          local ok, message = coroutine.resume(co)
          return { ok = ok, message = message }
        end`),
        early: lua(`(function()
          local ok, message = pcall(function() return perigee.http.get("http://127.0.0.1:1/") end)
          return function() return { ok = ok, message = message } end
        end)()`),
      },
    },
  });
  const client = await server.connect("ann");
  const inner = await rpc(client, "inner", {});
  assert.equal(inner.ok, false);
  assert.match(inner.message, /perigee.http.get may not wait inside a coroutine/);
  const early = await rpc(client, "early", {});
  assert.equal(early.ok, false);
  assert.match(early.message, /perigee.http.get may not wait while config.lua loads/);
});

test("the server stops while a hook waits for an answer", async (t) => {
  const backend = await startBackend(t, () => {});
  const server = await startServer(t, {
    config: { rpc: asks, hooks: { disconnect: lua(`function() perigee.http.get("${backend.url}/bye") end`) } },
  });
  const client = await server.connect("ann");
  client.send({ id: 9, rpc: { method: "get", data: { url: `${backend.url}/never`, options: { timeout: 60 } } } });
  await sleep(100);
  const start = Date.now();
  server.kill("SIGTERM");
  const status = await within(server.exit, () => "the server to end");
  assert.deepEqual(status, { code: 0, signal: null });
  assert.ok(Date.now() - start < 8000);
});
