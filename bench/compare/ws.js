// A fan-out server as one writes it with npm's ws: every POST body goes to every client.
// Started by bench/run: node ws.js PORT
"use strict";

const http = require("http");
const { WebSocketServer } = require("ws");

const wss = new WebSocketServer({ noServer: true });
const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const text = Buffer.concat(parts);
    for (const client of wss.clients) {
      client.send(text, { binary: false });
    }
    response.setHeader("Content-Type", "application/json");
    response.end('{"result":{}}');
  });
});
server.on("upgrade", (request, socket, head) => {
  wss.handleUpgrade(request, socket, head, (client) => wss.emit("connection", client, request));
});
server.listen(Number(process.argv[2]), "127.0.0.1");
