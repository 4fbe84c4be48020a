// Peer: `ws` under node, set up as its documentation and its maintainer recommend for speed.
//
//   node ws.js [--listen HOST:PORT] [--ingest-listen HOST:PORT]
//
// - perMessageDeflate off, bufferutil installed: README.md, "WebSocket compression" and "Opt-in for performance".
//   utf-8-validate is for Node.js before 18.14 only.
// - A record is framed once and the frame is handed to all, instead of a `ws.send` that frames it for each:
//   https://github.com/websockets/ws/issues/617#issuecomment-283002469 (Socket.IO does the same).
// - Sockets are corked while one chunk of the feed is taken, so that its records go out in one writev:
//   https://github.com/websockets/ws/pull/1999 says to call `websocket._socket.cork()` where that is wanted.
//   The README's loop over `client.send(data, { binary: false })` takes several times the CPU at a saturated `hot`.
// - clientTracking off: the set of all clients would be a second one beside those of the channels.
//
// One that more than 16 MiB wait for is closed, as by Bun's default. Nothing is dropped in silence.

import { createServer } from "node:net";
import { Sender, WebSocket, WebSocketServer } from "ws";
import { Lines, address, listening } from "./lines.js";

const BACKPRESSURE_BYTES_MAX = 16 * 1024 * 1024;
const TEXT = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: false };

/** Who wants a channel. */
const subscribers = new Map();
/** Who got something of the chunk that is being taken. */
const corked = [];

function publish(channel, payload) {
  const sockets = subscribers.get(channel);
  if (sockets === undefined) return;
  // One buffer instead of head and payload, so that a lone record is one write.
  const frame = [Buffer.concat(Sender.frame(Buffer.from(payload, "latin1"), TEXT))];
  for (const ws of sockets) {
    if (ws.readyState !== WebSocket.OPEN) continue;
    if (!ws.corked) {
      ws.corked = true;
      ws._socket.cork();
      corked.push(ws);
    }
    ws._sender.sendFrame(frame);
  }
}

/** Lets go what the chunk brought, and closes whoever is too far behind. */
function flush() {
  for (const ws of corked) {
    ws.corked = false;
    ws._socket.uncork();
    if (ws.bufferedAmount > BACKPRESSURE_BYTES_MAX) ws.terminate();
  }
  corked.length = 0;
}

function subscribe(ws, channels) {
  for (const channel of channels) {
    if (!subscribers.has(channel)) subscribers.set(channel, new Set());
    subscribers.get(channel).add(ws);
    ws.channels.push(channel);
  }
}

const { hostname, port } = address("--listen");
const server = new WebSocketServer({ host: hostname, port, perMessageDeflate: false, clientTracking: false });
server.on("connection", (ws) => {
  ws.corked = false;
  ws.channels = [];
  ws.on("message", (message) => {
    const { method, params, id } = JSON.parse(message);
    if (method === "SUBSCRIBE") {
      subscribe(ws, params);
      ws.send(`{"result":null,"id":${id}}`);
    }
  });
  // A reset is followed by `close`, which is all that matters here.
  ws.on("error", () => {});
  ws.on("close", () => {
    for (const channel of ws.channels) subscribers.get(channel).delete(ws);
  });
});
server.on("listening", () => listening("subscribers", hostname, server.address().port));

const feed = address("--ingest-listen");
const ingest = createServer((socket) => {
  const lines = new Lines(publish, (line) => socket.write(line));
  socket.on("data", (chunk) => {
    lines.take(chunk);
    flush();
  });
  // A feed that hangs up is no fault of the server.
  socket.on("error", () => {});
});
ingest.listen(feed.port, feed.hostname, () => listening("ingest", feed.hostname, ingest.address().port));
