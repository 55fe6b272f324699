// A real etcd on free loopback ports, spoken to through its HTTP gateway.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { freePort, scratch } from "./server.mjs";
import { until } from "./wait.mjs";

const encode = (text) => Buffer.from(text).toString("base64");

class Etcd {
  constructor(port, peer, folder) {
    Object.assign(this, { port, peer, folder, url: `http://127.0.0.1:${port}` });
  }

  async start() {
    const [client, peer] = [this.url, `http://127.0.0.1:${this.peer}`];
    this.child = spawn("etcd", [
      "--data-dir", this.folder, "--listen-client-urls", client, "--advertise-client-urls", client,
      "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `default=${peer}`,
    ], { stdio: "ignore" });
    this.ended = once(this.child, "exit");
    await until(() => this.post("kv/range", { key: encode("x") }).then(() => true, () => false), "etcd to answer", 20000);
  }

  async stop() {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  async post(path, body) {
    const answer = await fetch(`${this.url}/v3/${path}`, {
      method: "POST", body: JSON.stringify(body), headers: this.token ? { Authorization: this.token } : {},
    });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return JSON.parse(text);
  }

  put(key, value) {
    return this.post("kv/put", { key: encode(key), value: encode(typeof value === "string" ? value : JSON.stringify(value)) });
  }

  delete(key) {
    return this.post("kv/deleterange", { key: encode(key) });
  }

  /** From here on everybody needs root's password. */
  async requirePassword(password) {
    await this.post("auth/user/add", { name: "root", password });
    await this.post("auth/user/grant", { user: "root", role: "root" });
    await this.post("auth/enable", {});
    this.token = (await this.post("auth/authenticate", { name: "root", password })).token;
  }
}

export async function startEtcd(t) {
  const etcd = new Etcd(await freePort(), await freePort(), scratch(t));
  await etcd.start();
  t.after(() => etcd.stop());
  return etcd;
}
