// HTTP and HTTPS servers that tests let Perigee call, with a certificate authority of their own.
import { execFileSync } from "node:child_process";
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Starts one on a free loopback port; `handler` gets every request. */
export async function startBackend(t, handler, { tls } = {}) {
  const sockets = new Set();
  const server = tls ? createHttps(tls, handler) : createHttp(handler);
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
    server.connections_seen = (server.connections_seen ?? 0) + 1;
  });
  server.on("tlsClientError", () => {});
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((done) => server.close(done));
  });
  const { port } = server.address();
  return {
    port,
    url: `${tls ? "https" : "http"}://127.0.0.1:${port}`,
    named: `${tls ? "https" : "http"}://localhost:${port}`,
    get connections() {
      return server.connections_seen ?? 0;
    },
  };
}

const openssl = (folder, ...args) => execFileSync("openssl", args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });

/** An authority in `folder`; `issue(names)` gives { key, cert } signed by it. */
export function makeAuthority(folder) {
  openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
    "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority");
  let serial = 0;
  return {
    path: join(folder, "ca.pem"),
    issue(altNames, days = 2) {
      const name = `leaf${++serial}`;
      writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${altNames}\n`);
      openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
      openssl(folder, "x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key",
        "-set_serial", String(serial), "-days", String(days), "-extfile", `${name}.ext`, "-out", `${name}.pem`);
      return { key: readFileSync(join(folder, `${name}.key`)), cert: readFileSync(join(folder, `${name}.pem`)) };
    },
  };
}
