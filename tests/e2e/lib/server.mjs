// Starts the server under test on a free loopback port and stops it again, checking that it ends
// cleanly: exit status 0 and nothing from a sanitizer in its log.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "./client.mjs";
import { merge, toLua } from "./lua.mjs";
import { makeSdk } from "./sdk.mjs";
import { Tcp } from "./tcp.mjs";
import { SECRET, userToken } from "./token.mjs";
import { PATIENCE_MS, SLOW, until, within } from "./wait.mjs";

export const TOP = resolve(fileURLToPath(import.meta.url), "../../../..");
export const BINARY = process.env.PERIGEE_BIN ?? join(TOP, "build/perigee");
export const WORKERS = Number(process.env.PERIGEE_WORKERS ?? 1);
export const API_KEY = "test-api-key";
const SANITIZER = /(Address|Leak|Thread|Memory)Sanitizer|runtime error:|CHECK failed|panic:/;

/** The tests' own variables would be settings (PERIGEE_WORKERS) or unknown keys to the server. */
function cleanEnv(more) {
  const env = Object.entries(process.env).filter(([name]) => !name.startsWith("PERIGEE_"));
  return { ...Object.fromEntries(env), ...more };
}

/** Below the range that the system gives to outgoing connections, so that nobody takes it meanwhile. */
export async function freePort() {
  for (;;) {
    const port = 10000 + Math.floor(Math.random() * 22000);
    const free = await new Promise((done) => {
      const probe = net.createServer();
      probe.once("error", () => done(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => done(true)));
    });
    if (free) return port;
  }
}

export function baseConfig(port) {
  return {
    http_server: { address: "127.0.0.1", port },
    workers: WORKERS,
    http_api: { key: API_KEY },
    health: { enabled: true },
    client: { token: { hmac_secret_key: SECRET } },
    lua: SLOW ? { timeout: "500ms" } : undefined,
    channel: {
      without_namespace: { allow_subscribe_for_client: true },
      namespaces: {},
    },
  };
}

/** A folder for one test, removed at its end. */
export function scratch(t) {
  const folder = mkdtempSync(join(tmpdir(), "perigee-test-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs the binary to its end. */
export async function run(args, { cwd, env, input, timeout = 4 * PATIENCE_MS } = {}) {
  const child = spawn(BINARY, args, { cwd, env: cleanEnv(env) });
  const out = { stdout: "", stderr: "", code: null, signal: null };
  child.stdout.on("data", (bytes) => (out.stdout += bytes));
  child.stderr.on("data", (bytes) => (out.stderr += bytes));
  child.stdin.on("error", () => {});
  child.stdin.end(input ?? "");
  const timer = setTimeout(() => child.kill("SIGKILL"), timeout);
  await new Promise((done, fail) => {
    child.once("error", fail);
    child.once("close", (code, signal) => {
      out.code = code;
      out.signal = signal;
      done();
    });
  });
  clearTimeout(timer);
  assert.doesNotMatch(out.stderr, SANITIZER);
  return out;
}

export class Process {
  constructor(args, { cwd, env } = {}) {
    this.stdout = "";
    this.stderr = "";
    this.ended = null;
    this.child = spawn(BINARY, args, { cwd, env: cleanEnv(env) });
    this.child.stdin.end();
    this.child.stdout.on("data", (bytes) => (this.stdout += bytes));
    this.child.stderr.on("data", (bytes) => (this.stderr += bytes));
    this.exit = new Promise((done) => {
      this.child.once("error", (error) => {
        this.ended = { error };
        done(this.ended);
      });
      this.child.once("close", (code, signal) => {
        this.ended = { code, signal };
        done(this.ended);
      });
    });
  }

  kill(signal) {
    if (!this.ended) this.child.kill(signal);
  }

  /** Asks it to end and returns the exit status; what does not end in time is killed and fails. */
  async stop(signal = "SIGTERM") {
    this.kill(signal);
    try {
      return await within(this.exit, () => "the server to end", PATIENCE_MS * 2);
    } catch (error) {
      this.kill("SIGKILL");
      await this.exit;
      error.message += `\n${this.tail()}`;
      throw error;
    }
  }

  tail() {
    return `--- stderr of the server ---\n${this.stderr.slice(-4000)}`;
  }

  assertClean() {
    assert.doesNotMatch(this.stderr, SANITIZER, this.tail());
  }
}

class Server extends Process {
  constructor(args, options, port, t) {
    super(args, options);
    this.port = port;
    this.t = t;
    this.agent = new http.Agent({ keepAlive: true });
    this.resources = [];
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get wsUrl() {
    return `ws://127.0.0.1:${this.port}/connection/websocket`;
  }

  /** One HTTP request: { status, headers, text }. */
  request(method, path, { headers = {}, body } = {}) {
    const answer = new Promise((done, fail) => {
      const options = { host: "127.0.0.1", port: this.port, method, path, headers, agent: this.agent };
      const req = http.request(options, (res) => {
        const chunks = [];
        res.on("data", (bytes) => chunks.push(bytes));
        res.on("end", () =>
          done({ status: res.statusCode, headers: res.headers, text: Buffer.concat(chunks).toString() }),
        );
        res.on("error", fail);
      });
      req.on("error", fail);
      req.end(body);
    });
    return within(answer, () => `${method} ${path}`);
  }

  /** POST to the API with the text as it is. */
  apiText(command, text, headers = {}) {
    return this.request("POST", `/api/${command}`, { headers: { "X-API-Key": API_KEY, ...headers }, body: text });
  }

  /** The whole answer of an API command: { result } or { error }. */
  async api(command, params = {}) {
    const answer = await this.apiText(command, JSON.stringify(params));
    assert.equal(answer.status, 200, `${command}: HTTP ${answer.status} ${answer.text}`);
    return JSON.parse(answer.text);
  }

  /** The result of an API command that must succeed. */
  async call(command, params = {}) {
    const answer = await this.api(command, params);
    assert.equal(answer.error, undefined, `${command}: ${JSON.stringify(answer)}`);
    return answer.result;
  }

  publish(channel, data, more = {}) {
    return this.call("publish", { channel, data, ...more });
  }

  /** Opens a WebSocket that speaks the JSON protocol; no connect command is sent. */
  async open(options) {
    const client = await Client.open(this, options);
    this.resources.push(client);
    return client;
  }

  /** The same, connected as the user (a token is made) or with the connect command given. */
  async connect(user, connect = {}, options = {}) {
    const client = await this.open(options);
    const token = user === null ? undefined : userToken(user);
    client.connected = await client.call("connect", { token, ...connect });
    client.id = client.connected.client;
    return client;
  }

  /** A client of the real SDK; connected on request of the test. */
  sdk(options) {
    const client = makeSdk(this, options);
    this.resources.push({ destroy: () => client.disconnect() });
    return client;
  }

  async tcp() {
    const socket = await Tcp.open(this.port);
    this.resources.push(socket);
    return socket;
  }

  /** Waits for a line of the log. */
  logged(pattern) {
    return until(() => pattern.exec(this.stderr), `${pattern} in the log; ${this.tail()}`);
  }

  async close() {
    for (const resource of this.resources) resource.destroy();
    this.agent.destroy();
    const wasRunning = !this.ended;
    const status = await this.stop();
    this.assertClean();
    if (wasRunning) assert.deepEqual(status, { code: 0, signal: null }, this.tail());
  }
}

/**
 * Writes config.lua (the base configuration with `config` laid over it), or takes the `file` given,
 * starts the server and waits until it answers. It is stopped and checked at the end of the test.
 */
export async function startServer(t, { config = {}, file, args = [], env } = {}) {
  assert.ok(existsSync(BINARY), `${BINARY} is missing; run scripts/build`);
  const folder = scratch(t);
  const port = await freePort();
  if (file) {
    args = [...args, "--set", `http_server.port=${port}`, "--set", `workers=${WORKERS}`, "--set", "health.enabled=true"];
  } else {
    file = join(folder, "config.lua");
    writeFileSync(file, `local perigee = require "perigee"\n\nreturn ${toLua(merge(baseConfig(port), config))}\n`);
  }
  const server = new Server(["serve", "-c", file, ...args], { cwd: folder, env }, port, t);
  server.file = file;
  t.after(() => server.close());
  await until(
    async () => {
      if (server.ended) throw new Error(`the server ended at once: ${JSON.stringify(server.ended)}\n${server.tail()}`);
      return server.request("GET", "/health").then(
        (answer) => answer.status === 200,
        () => false,
      );
    },
    "the server to answer",
    PATIENCE_MS,
  ).catch((error) => {
    error.message += `\n${server.tail()}`;
    throw error;
  });
  return server;
}
