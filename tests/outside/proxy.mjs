// A TCP proxy between a client and a server: what networks do to connections, when a test says so.
//
// It ends only the connections that go through it. Invariant: while it is `open`, every byte arrives, in order.

import net from "node:net";

export class Proxy {
  /** @param {string} address where to, as `host:port` */
  static async start(address) {
    const proxy = new Proxy();
    const [host, port] = address.split(":");
    proxy.pairs = new Set();
    /** `open`; `held`: what the server sends is not taken; `deaf`: all is swallowed. */
    proxy.mode = "open";
    proxy.listener = net.createServer((client) => proxy.#join(client, net.connect(Number(port), host)));
    await proxy.open();
    return proxy;
  }

  /** Takes connections, at the same port each time. */
  async open() {
    await new Promise((resolve) => this.listener.listen(this.port ?? 0, "127.0.0.1", resolve));
    this.port = this.listener.address().port;
    this.address = `127.0.0.1:${this.port}`;
  }

  /** Ends every connection without a word, and refuses others. */
  shut() {
    this.listener.close();
    this.cut();
  }

  get ws() {
    return `ws://${this.address}/v1/ws`;
  }

  #join(client, server) {
    const pair = [client, server];
    this.pairs.add(pair);
    for (const [from, to] of [[client, server], [server, client]]) {
      from.setNoDelay(true);
      from.on("error", () => {});
      from.on("close", () => (to.destroy(), this.pairs.delete(pair)));
      from.on("data", (bytes) => {
        if (this.mode === "deaf") return;
        if (!to.write(bytes)) from.pause();
      });
      to.on("drain", () => (this.mode === "held" && from === server) || from.resume());
    }
  }

  /** From now on nothing that the server sends is taken, so that it fills what lies between. */
  hold() {
    this.mode = "held";
    for (const [, server] of this.pairs) server.pause();
  }

  letGo() {
    this.mode = "open";
    for (const [, server] of this.pairs) server.resume();
  }

  /** Ends every connection, without a word. */
  cut() {
    for (const pair of this.pairs) pair.forEach((socket) => socket.destroy());
  }

  stop() {
    this.shut();
  }
}
