// Subscribers that can stop reading: a WebSocket and an event stream with the same face.
//
// What is not taken is not read from the server, so that the server has to deal with who is slow.

import assert from "node:assert/strict";
import net from "node:net";

import { Talk } from "./transcript.mjs";

/** A WebSocket behind a door: while it is closed, nothing is read from the server. */
export class Socket {
  channel = "native";

  static async open(server, query) {
    const socket = new Socket();
    const [host, port] = server.at.subscribers.split(":");
    socket.door = net.createServer((near) => {
      const far = (socket.far = net.connect(Number(port), host));
      near.pipe(far).pipe(near);
      socket.near = near;
      for (const end of [near, far]) end.on("error", () => {});
    });
    await new Promise((resolve) => socket.door.listen(0, "127.0.0.1", resolve));
    socket.talk = await Talk.open(`ws://127.0.0.1:${socket.door.address().port}/v1/ws?${query}`, false);
    return socket;
  }

  stop() {
    this.far.unpipe(this.near);
  }

  go() {
    this.far.pipe(this.near);
  }

  async take() {
    return { text: await this.talk.next() };
  }

  close() {
    this.talk.close();
    this.door.close();
  }
}

/** An event stream. What nobody takes is not read from the server. */
export class Stream {
  channel = "events";

  static async open(server, query) {
    const stream = new Stream();
    stream.end = new AbortController();
    const answer = await fetch(`http://${server.at.subscribers}/v1/sse?${query}`, { signal: stream.end.signal });
    stream.reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    stream.read = "";
    return stream;
  }

  stop() {}
  go() {}

  async take() {
    for (;;) {
      const at = this.read.indexOf("\n\n");
      if (at < 0) {
        this.read += (await this.reader.read()).value ?? assert.fail(`the stream ended with ${this.read}`);
        continue;
      }
      const lines = this.read.slice(0, at).split("\n");
      this.read = this.read.slice(at + 2);
      const of = (field) => lines.filter((line) => line.startsWith(field)).map((line) => line.slice(field.length)).join("\n");
      if (of("data: ")) return { type: of("event: ") || "message", text: of("data: ") };
    }
  }

  close() {
    this.end.abort();
  }
}
