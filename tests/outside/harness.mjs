// The program and a feed for the tests of this folder: started on free ports, ended with their test.
//
// A test ends only what it started. What is waited for has an end: a test fails instead of hanging.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

/** Longer than anything that is waited for takes on a busy machine. */
export const PATIENCE_MS = 30_000;

/** The program under test: `TAPECAST` names another one than the release build. */
export const program = (() => {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(root, "target");
  const found = process.env.TAPECAST ?? path.join(target, "release", "tapecast");
  if (!existsSync(found)) throw new Error(`${found} is missing: cargo build --release, or name it by TAPECAST`);
  return found;
})();

/** A child process whose output is kept for the test's failure. */
export class Process {
  constructor(command, args, options = {}) {
    this.said = "";
    this.child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], cwd: root, ...options });
    this.ended = new Promise((resolve) => this.child.once("close", (code, signal) => resolve({ code, signal })));
    this.child.stderr.on("data", (bytes) => (this.said = (this.said + bytes).slice(-64_000)));
    this.lines = readline.createInterface({ input: this.child.stdout });
  }

  /** The first line on stdout for which `wanted` gives something, as that. */
  line(wanted) {
    const found = new Promise((resolve) => {
      this.lines.on("line", (line) => {
        const answer = wanted(line);
        if (answer) resolve(answer);
      });
    });
    const gone = this.ended.then(({ code }) => {
      throw new Error(`it ended with ${code} instead of saying what was waited for:\n${this.said}`);
    });
    return within(Promise.race([found, gone]), "a line of output");
  }

  async stop(signal = "SIGTERM") {
    this.child.kill(signal);
    return within(this.ended, "the end of a process");
  }
}

/** `tapecast serve` on free ports, or on those that `at` names: `{subscribers: "127.0.0.1:4567"}`. */
export class Server {
  static async start({ at = {}, set = [], args = [], env = process.env } = {}) {
    const listen = (role) => at[role] ?? "127.0.0.1:0";
    const server = new Server();
    const settings = ["shutdown.drain=0s", ...set].flatMap((setting) => ["--set", setting]);
    server.process = new Process(program, [
      "serve", "--shards", "1", "--listen", listen("subscribers"), "--ingest-listen", listen("ingest"),
      "--admin-listen", listen("admin"), ...settings, ...args,
    ], { env });
    server.at = {};
    await server.process.line((line) => {
      const [word, role, address] = line.split(" ");
      if (word === "listening") server.at[role] = address;
      return Object.keys(server.at).length === 3;
    });
    return server;
  }

  /** The native protocol's address. */
  get ws() {
    return `ws://${this.at.subscribers}/v1/ws`;
  }

  /** One sample of /metrics, by its whole name with labels. */
  async metric(name) {
    const page = await (await fetch(`http://${this.at.admin}/metrics`)).text();
    const line = page.split("\n").find((line) => line.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  }

  stop(signal) {
    return this.process.stop(signal);
  }
}

/** A feed on the lines protocol. */
export class Feed {
  static async connect(address) {
    const feed = new Feed();
    const [host, port] = address.split(":");
    feed.socket = net.connect(Number(port), host).setNoDelay(true);
    feed.answers = readline.createInterface({ input: feed.socket })[Symbol.asyncIterator]();
    await within(new Promise((resolve, reject) => feed.socket.once("connect", resolve).once("error", reject)), "a feed's connection");
    return feed;
  }

  publish(channel, data) {
    this.socket.write(`${channel} ${JSON.stringify(data)}\n`);
  }

  /** How many records of this connection the server has accepted, all that were published before included. */
  async settled() {
    this.socket.write("PING\n");
    const { value } = await within(this.answers.next(), "an answer to PING");
    if (!value?.startsWith("+PONG ")) throw new Error(`the feed was answered ${value}`);
    return Number(value.slice(6));
  }

  close() {
    this.socket.destroy();
  }
}

/** What `promise` gives, or a failure that names `what` was waited for. */
export async function within(promise, what, ms = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks `condition` again and again until it gives something. */
export async function until(condition, what, ms = PATIENCE_MS) {
  const end = performance.now() + ms;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (performance.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
