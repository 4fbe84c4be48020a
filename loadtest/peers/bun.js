// Peer: Bun's native pub/sub (uWebSockets inside), set up as its documentation recommends for speed:
// topics by ws.subscribe, server.publish, no compression.
//
//   bun bun.js [--listen HOST:PORT] [--ingest-listen HOST:PORT]
//
// The documented default of 16 MiB may wait for one connection; one that waits for more is closed.
// Nothing is dropped in silence.

import { Lines, address, listening } from "./lines.js";

const BACKPRESSURE_BYTES_MAX = 16 * 1024 * 1024;

const server = Bun.serve({
  ...address("--listen"),
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("upgrade", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    backpressureLimit: BACKPRESSURE_BYTES_MAX,
    closeOnBackpressureLimit: true,
    idleTimeout: 60,
    message(ws, message) {
      const { method, params, id } = JSON.parse(message);
      if (method === "SUBSCRIBE") {
        for (const channel of params) ws.subscribe(channel);
        ws.send(`{"result":null,"id":${id}}`);
      }
    },
  },
});

const feed = address("--ingest-listen");
const ingest = Bun.listen({
  ...feed,
  socket: {
    open(socket) {
      const publish = (channel, payload) => server.publish(channel, payload);
      socket.data = new Lines(publish, (line) => socket.write(line));
    },
    data(socket, chunk) {
      socket.data.take(chunk);
    },
  },
});

listening("subscribers", server.hostname, server.port);
listening("ingest", feed.hostname, ingest.port);
