// The real SDK, with a WebSocket whose TCP connection a test can cut.
import { Centrifuge } from "centrifuge";
import { Centrifuge as ProtobufCentrifuge } from "centrifuge/build/protobuf";
import { WebSocket } from "ws";
import { userToken } from "./token.mjs";
import { until } from "./wait.mjs";

/** protobuf: the SDK's build that speaks it; its data are bytes. */
export function makeSdk(server, { user = "sdk", protobuf = false, ...options } = {}) {
  const sockets = new Set();
  class CuttableWebSocket extends WebSocket {
    constructor(...args) {
      super(...args);
      sockets.add(this);
      this.once("close", () => sockets.delete(this));
    }
  }
  const client = new (protobuf ? ProtobufCentrifuge : Centrifuge)(server.wsUrl, {
    websocket: CuttableWebSocket,
    token: userToken(user),
    minReconnectDelay: 20,
    maxReconnectDelay: 200,
    timeout: 20000,
    ...options,
  });
  client.on("error", () => {});
  /** Drops the TCP connection without a word, as a network does. */
  client.cut = () => {
    for (const socket of sockets) socket.terminate();
  };
  client.whenConnected = () => until(() => client.state === "connected", "the SDK to connect");
  return client;
}

/** A subscription that records its publications and the contexts of its events. */
export function record(client, channel, options) {
  const sub = client.newSubscription(channel, options);
  sub.got = [];
  sub.contexts = [];
  sub.on("publication", (ctx) => sub.got.push(ctx));
  sub.on("subscribed", (ctx) => sub.contexts.push(ctx));
  sub.on("error", () => {});
  sub.whenSubscribed = () => until(() => sub.state === "subscribed", `the subscription to ${channel}`);
  return sub;
}
