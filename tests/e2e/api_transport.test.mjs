import assert from "node:assert/strict";
import test from "node:test";
import { API_KEY, startServer } from "./lib/server.mjs";

test("the HTTP side of the API", async (t) => {
  const server = await startServer(t, {
    config: { channel: { namespaces: { hist: { history_size: 1000, history_ttl: "1m" } } } },
  });
  const key = { "X-API-Key": API_KEY };
  const post = (path, body, headers = key) => server.request("POST", path, { headers, body });

  await t.test("a result is plain JSON", async () => {
    const answer = await post("/api/publish", '{"channel":"a","data":1}');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["content-type"], "application/json");
    assert.equal(answer.text, '{"result":{}}');
  });

  const rows = [
    ["GET", "/api/info", {}, undefined, 405],
    ["GET", "/api/nosuch", {}, undefined, [404, 405]],
    ["PUT", "/api/info", key, "{}", 405],
    ["DELETE", "/api/info", key, undefined, 405],
    ["POST", "/api/info", {}, "{}", 401],
    ["POST", "/api/info", {}, "nonsense", 401],
    ["POST", "/api/info", { "X-API-Key": "" }, "{}", 401],
    ["POST", "/api/info", { "X-API-Key": "wrong" }, "{}", 401],
    ["POST", "/api/info", { "X-API-Key": API_KEY.slice(0, -1) }, "{}", 401],
    ["POST", "/api/info", { "X-API-Key": `${API_KEY}x` }, "{}", 401],
    ["POST", "/api/info", { Authorization: API_KEY }, "{}", 401],
    ["POST", "/api/info", { Authorization: `bearer ${API_KEY}` }, "{}", 401],
    ["POST", "/api/info", { "X-API-Key": "wrong", Authorization: `apikey ${API_KEY}` }, "{}", 401],
    ["POST", "/api/info?api_key=wrong", {}, "{}", 401],
    ["POST", "/api/info", { Authorization: `apikey ${API_KEY}` }, "{}", 200],
    ["POST", "/api/info", { Authorization: `ApiKey   ${API_KEY}` }, "{}", 200],
    ["POST", `/api/info?api_key=${API_KEY}`, {}, "{}", 200],
    ["POST", `/api/info?x=1&api_key=${API_KEY}`, { "X-API-Key": "wrong" }, "{}", 200],
    ["POST", "/api/info", key, "{}", 200],
    ["POST", "/api/info", { ...key, "Content-Type": "text/plain" }, "{}", 200],
    ["POST", "/api/info", key, "null", 200],
    ["POST", "/api/info", key, ' {"unknown": [1, {"x": null}]} ', 200],
    ["POST", "/api/info", key, "", 400],
    ["POST", "/api/info", key, undefined, 400],
    ["POST", "/api/info", key, "{", 400],
    ["POST", "/api/info", key, "[]", 400],
    ["POST", "/api/info", key, '"x"', 400],
    ["POST", "/api/info", key, "{} x", 400],
    ["POST", "/api/info", key, "{}{}", 400],
    ["POST", "/api/publish", key, '{"channel":1,"data":1}', 400],
    ["POST", "/api/publish", key, '{"channel":"a","data":}', 400],
    ["POST", "/api/publish", key, '{"channel":"a","data":1,"tags":{"k":1}}', 400],
    ["POST", "/api/publish", key, '{"channel":"a","data":1,"skip_history":"yes"}', 400],
    ["POST", "/api/history", key, '{"channel":"hist:a","limit":"5"}', 400],
    ["POST", "/api/history", key, '{"channel":"hist:a","limit":99999999999}', 400],
    ["POST", "/api/broadcast", key, '{"channels":"a","data":1}', 400],
    ["POST", "/api/nosuch", key, "{}", 404],
    ["POST", "/api/publish/x", key, "{}", 404],
    ["POST", "/api/block_user", key, "{}", 404],
    ["POST", "/nosuch", key, "{}", 404],
    ["GET", "/health", {}, undefined, 200],
    ["GET", "/metrics", {}, undefined, 404],
  ];
  for (const [method, path, headers, body, status] of rows) {
    await t.test(`${method} ${path} ${JSON.stringify(headers)} ${body ?? ""}: ${status}`, async () => {
      const answer = await server.request(method, path, { headers, body });
      assert.ok([status].flat().includes(answer.status), `${answer.status} ${answer.text}`);
      if (status === 401) assert.equal(answer.text, "");
    });
  }

  await t.test("a wrong key is logged without the key", async () => {
    await post("/api/info", "{}", { "X-API-Key": "guessed-secret-key" });
    await server.logged(/http_api\.key/);
    assert.ok(!server.stderr.includes("guessed-secret-key"));
    assert.ok(!server.stderr.includes(API_KEY));
  });

  await t.test("100 pipelined requests are answered in order", async () => {
    const tcp = await server.tcp();
    let bytes = "";
    for (let n = 1; n <= 100; n++) {
      const body = `{"channel":"hist:pipe","data":${n}}`;
      bytes += `POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    }
    tcp.write(bytes);
    for (let n = 1; n <= 100; n++) {
      const answer = await tcp.response();
      assert.equal(answer.status, 200);
      assert.equal(JSON.parse(answer.body).result.offset, n);
    }
    const { publications } = await server.call("history", { channel: "hist:pipe", limit: -1 });
    assert.deepEqual(publications.map(({ data }) => data), Array.from({ length: 100 }, (_, i) => i + 1));
  });

  await t.test("a request may arrive byte by byte", async () => {
    const tcp = await server.tcp();
    const request = `POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nContent-Length: 24\r\n\r\n{"channel":"a","data":1}`;
    for (const char of request) {
      tcp.write(char);
      await new Promise(setImmediate);
    }
    assert.equal((await tcp.response()).status, 200);
  });

  await t.test("a chunked body is put together", async () => {
    const tcp = await server.tcp();
    const parts = ['{"chan', 'nel":"a",', '"data":[1,2]}'];
    const chunks = parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("");
    tcp.write(`POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`);
    assert.deepEqual(JSON.parse((await tcp.response()).body), { result: {} });
    tcp.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.equal((await tcp.response()).status, 200);
  });

  await t.test("Expect: 100-continue gets its go-ahead", async () => {
    const tcp = await server.tcp();
    tcp.write(`POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n`);
    assert.equal((await tcp.response()).status, 100);
    tcp.write("{}");
    assert.equal((await tcp.response()).status, 200);
  });

  await t.test("the connection is kept, or closed when the client says so", async () => {
    const tcp = await server.tcp();
    for (let n = 0; n < 3; n++) {
      tcp.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
      assert.equal((await tcp.response()).status, 200);
    }
    tcp.write("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert.equal((await tcp.response()).status, 200);
    await tcp.end();
    const old = await server.tcp();
    old.write("GET /health HTTP/1.0\r\nHost: x\r\n\r\n");
    assert.equal((await old.response()).status, 200);
    await old.end();
  });

  await t.test("a failed request in a pipeline does not spoil the next", async () => {
    const tcp = await server.tcp();
    const request = (body) => `POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    tcp.write(request("{") + request("{}"));
    assert.equal((await tcp.response()).status, 400);
    assert.equal((await tcp.response()).status, 200);
  });

  // Answers that come at once and others that come by mail, all asked for in one packet.
  await t.test("what is answered at once waits for what is not", async () => {
    const tcp = await server.tcp();
    const kinds = Array.from({ length: 60 }, (_, i) => ["publish", "nosuch", "info"][i % 3]);
    const body = { publish: '{"channel":"a","data":1}', nosuch: '{"channel":"nosuch:a","data":1}', info: "{}" };
    const request = (kind) =>
      `POST /api/${kind === "info" ? "info" : "publish"} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nContent-Length: ${body[kind].length}\r\n\r\n${body[kind]}`;
    tcp.write(kinds.map(request).join(""));
    for (const kind of kinds) {
      const { result, error } = JSON.parse((await tcp.response()).body);
      assert.equal(error ? "nosuch" : result.nodes ? "info" : "publish", kind);
    }
  });

  await t.test("a go-ahead stands behind the answers before it", async () => {
    const tcp = await server.tcp();
    const body = '{"channel":"nosuch:a","data":1}'; // refused at once, wherever the channel lives
    const head = `POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nContent-Length: ${body.length}\r\n`;
    tcp.write(`${head}\r\n${body}${head}Expect: 100-continue\r\n\r\n`);
    assert.equal((await tcp.response()).status, 200);
    assert.equal((await tcp.response()).status, 100);
    tcp.write(body);
    assert.equal((await tcp.response()).status, 200);
  });

  await t.test("an upgrade stands behind the answers before it", async () => {
    const tcp = await server.tcp();
    const body = '{"channel":"nosuch:a","data":1}'; // refused at once, wherever the channel lives
    const publish = `POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    tcp.write(publish + publish);
    tcp.write(publish + "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
    for (const status of [200, 200, 200, 101]) assert.equal((await tcp.response()).status, status);
  });

  await t.test("a last answer comes with those before it", async () => {
    const tcp = await server.tcp();
    const get = (headers) => `GET /nothing HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;
    tcp.write(get("") + get("") + get("Connection: close\r\n") + get(""));
    for (let n = 0; n < 3; n++) assert.equal((await tcp.response()).status, 404);
    await tcp.end();
    assert.equal(tcp.received.length, 0);
  });
});

test("no key", async (t) => {
  const server = await startServer(t, { config: { http_api: { key: "" } } });
  await t.test("refuses everything", async () => {
    for (const headers of [{}, { "X-API-Key": "" }, { Authorization: "apikey " }]) {
      assert.equal((await server.request("POST", "/api/info", { headers, body: "{}" })).status, 401);
    }
    assert.equal((await server.request("POST", "/api/info?api_key=", { body: "{}" })).status, 401);
  });
});

test("insecure, prefix and size limit", async (t) => {
  const server = await startServer(t, {
    config: { http_api: { insecure: true, handler_prefix: "/internal/api", max_request_body_size: 2048 } },
  });
  assert.equal((await server.request("POST", "/internal/api/info", { body: "{}" })).status, 200);
  assert.equal((await server.request("POST", "/api/info", { body: "{}" })).status, 404);
  const body = `{"channel":"a","data":"${"x".repeat(3000)}"}`;
  assert.equal((await server.request("POST", "/internal/api/publish", { body })).status, 413);
});

test("transport error mode", async (t) => {
  const server = await startServer(t, { config: { channel: { namespaces: { hist: { history_size: 5, history_ttl: "1m" } } } } });
  const mode = { "X-Centrifugo-Error-Mode": "transport" };
  const rows = [
    ["publish", '{"channel":"nosuch:x","data":1}', 404, { code: 102, message: "unknown channel" }],
    ["publish", '{"channel":"","data":1}', 400, { code: 107, message: "bad request" }],
    ["presence", '{"channel":"x"}', 400, { code: 108, message: "not available" }],
    ["history", '{"channel":"hist:x","since":{"offset":1,"epoch":"no"}}', 416, { code: 112, message: "unrecoverable position" }],
  ];
  for (const [command, body, status, error] of rows) {
    await t.test(`${command} ${body}: ${status}`, async () => {
      const answer = await server.apiText(command, body, mode);
      assert.equal(answer.status, status);
      assert.deepEqual(JSON.parse(answer.text), error);
      const plain = await server.apiText(command, body);
      assert.equal(plain.status, 200);
      assert.deepEqual(JSON.parse(plain.text), { error });
    });
  }
  await t.test("a batch never uses it", async () => {
    const answer = await server.apiText("batch", '{"commands":[{"publish":{"channel":"","data":1}}]}', mode);
    assert.equal(answer.status, 200);
    assert.equal(JSON.parse(answer.text).replies[0].error.code, 107);
  });
});
