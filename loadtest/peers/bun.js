// Peer: Bun's native pub/sub (uWebSockets inside), set up as its documentation recommends for speed:
// topics by ws.subscribe, server.publish, no compression. A chunk becomes one Latin-1 string, which is its
// cheapest way; the load test's records are ASCII.
//
//   bun bun.js [--listen HOST:PORT] [--ingest-listen HOST:PORT]
//
// The documented default of 16 MiB may wait for one connection; one that waits for more is closed.
// Nothing is dropped in silence.

const BACKPRESSURE_BYTES_MAX = 16 * 1024 * 1024;

function address(flag) {
  const at = process.argv.indexOf(flag);
  const [hostname, port] = (at < 0 ? "127.0.0.1:0" : process.argv[at + 1]).split(":");
  return { hostname, port: Number(port) };
}

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

function take(socket, text) {
  let start = 0;
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
    const space = text.indexOf(" ", start);
    if (space >= 0 && space < end) {
      socket.data.accepted += 1;
      server.publish(text.slice(start, space), text.slice(space + 1, end));
    } else if (text.slice(start, end) === "PING") {
      socket.write(`+PONG ${socket.data.accepted}\n`);
    }
    start = end + 1;
  }
  socket.data.rest = text.slice(start);
}

const feed = address("--ingest-listen");
const ingest = Bun.listen({
  ...feed,
  socket: {
    open(socket) {
      socket.data = { rest: "", accepted: 0 };
    },
    data(socket, chunk) {
      take(socket, socket.data.rest + chunk.latin1Slice());
    },
  },
});

console.log(`listening subscribers ${server.hostname}:${server.port}`);
console.log(`listening ingest ${feed.hostname}:${ingest.port}`);
