// Peer: Socket.IO under node, set up as its documentation recommends for speed.
//
//   node socketio.js [--listen HOST:PORT] [--ingest-listen HOST:PORT]
//
// - WebSocket alone, no compression of either kind, no client served, bufferutil installed:
//   https://socket.io/docs/v4/performance-tuning and https://socket.io/docs/v4/server-options
// - Rooms and `io.to(channel).emit`: the adapter encodes and frames a record once for all of a room, as long as
//   perMessageDeflate is off (https://github.com/socketio/socket.io/commit/da2b542, 4.6.0 and later).
// - The payload is emitted as an object: "There is no need to run JSON.stringify() on objects as it will be done for
//   you", with the string marked BAD (https://socket.io/docs/v4/emitting-events). A string would travel with every
//   quote escaped; the object costs a parse and a stringify a record, not a delivery. Its spaces are lost.
// - The handshake's request is let go, for its memory: https://socket.io/docs/v4/memory-usage
// - Left out: eiows, the other engine named there, because its installation clones Node.js from GitHub and so does not
//   come from npm (and what is framed once is handed to `ws` only); µWebSockets.js, which is not on npm.
//   `volatile`, because it drops in silence.
//
// Engine.IO's pings are text frames, which a subscriber that only counts bytes could neither see nor answer. Their
// interval is a day, so that no run meets one.
//
// One that more than 16 MiB wait for is closed, as by Bun's default; this is looked at once for every MiB of feed.
// Nothing is dropped in silence.

import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { Server } from "socket.io";
import { Lines, address, listening } from "./lines.js";

const BACKPRESSURE_BYTES_MAX = 16 * 1024 * 1024;
const LOOKED_AT_EVERY_BYTES = 1024 * 1024;
const PING_MS = 24 * 60 * 60 * 1000;

const http = createHttpServer();
const io = new Server(http, {
  transports: ["websocket"],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
  allowEIO3: false,
  pingInterval: PING_MS,
  pingTimeout: PING_MS,
});

io.engine.on("connection", (rawSocket) => {
  rawSocket.request = null;
});
io.on("connection", (socket) => {
  socket.on("subscribe", (channels, done) => {
    socket.join(channels);
    done();
  });
});

/** Bytes that wait: in Engine.IO's queue of packets, and below it in the WebSocket's. */
function waitingBytes(connection) {
  let bytes = connection.transport.socket.bufferedAmount;
  for (const packet of connection.writeBuffer) {
    bytes += packet.data.length;
    if (bytes > BACKPRESSURE_BYTES_MAX) break;
  }
  return bytes;
}

function closeWhoIsBehind() {
  for (const { conn } of io.sockets.sockets.values()) {
    // `close` would wait until all of it is sent.
    if (waitingBytes(conn) > BACKPRESSURE_BYTES_MAX) conn.transport.socket.terminate();
  }
}

const { hostname, port } = address("--listen");
http.listen(port, hostname, () => listening("subscribers", hostname, http.address().port));

const feed = address("--ingest-listen");
const ingest = createServer((socket) => {
  const publish = (channel, payload) => io.to(channel).emit("record", JSON.parse(payload));
  const lines = new Lines(publish, (line) => socket.write(line));
  let taken = 0;
  socket.on("data", (chunk) => {
    lines.take(chunk);
    taken += chunk.length;
    if (taken >= LOOKED_AT_EVERY_BYTES) {
      taken = 0;
      closeWhoIsBehind();
    }
  });
  // A feed that hangs up is no fault of the server.
  socket.on("error", () => {});
});
ingest.listen(feed.port, feed.hostname, () => listening("ingest", feed.hostname, ingest.address().port));
