// Plays the ```console blocks of a Markdown file against the real program, so that no example in the docs is made up.
//
//   feed> btcusdt@trade {"p":"1"}     a feed's connection, called `feed`, sends this; `feed<` is the next thing that it is told
//   client> {"op":"ping"}             a subscriber's WebSocket, called `client`; `client<` is its next message
//   $ curl … 127.0.0.1:9001/v1/last   a command, and behind it what it prints, be it all or, of one without end, the beginning; ports become the server's
//   # …                               a remark
//
// A first `GET <path>` is a handshake: of the subscribers' listener for a client (`/v1/ws` where there is none), of the ingest
// listener for a feed, which else speaks lines. `CLOSE` ends a connection. `…` stands for anything; so do values that differ from
// run to run (see `VARYING`). Settings of the server stand behind ```console. At the end of a block nothing more may wait for anybody.

import { spawn } from "node:child_process";
import path from "node:path";

import { Feed, Server, program, root, until, within } from "./harness.mjs";

const VARYING = [
  [/"(version|agent|address)":"[^"]*"/g, '"$1":"…"'],
  [/"(ts|in_ms|since|oldest_waiting_ms)":\d+/g, '"$1":…'],
];
/** Stands in the docs for the epoch of the server that runs. */
const EPOCH = "6741a7f2e0c1b";
/** Each server reserves its ring; the docs need no large one. */
const SMALL = ["ring.bytes=67108864"];

/** The blocks of a file: their settings, their lines, and the line at which each begins. */
export function blocks(markdown) {
  const found = [];
  for (const { 1: settings, 2: body, index } of markdown.matchAll(/^```console(.*)\n([^]*?)^```$/gm)) {
    const line = markdown.slice(0, index).split("\n").length;
    found.push({ line, set: settings.trim().split(" ").filter(Boolean), lines: body.trimEnd().split("\n") });
  }
  return found;
}

/** Plays one block; gives every message as `{actor, channel, direction, text}`, channels named as in docs/asyncapi.yaml. */
export async function play(block) {
  const server = await Server.start({ set: [...SMALL, ...block.set] });
  // A connection that is kept would hold up the server's end.
  const asked = await fetch(`http://${server.at.subscribers}/v1/channels`, { headers: { connection: "close" } });
  const { epoch } = await asked.json();
  const stage = new Stage(server);
  try {
    for (const step of steps(block, epoch)) await stage.play(step);
    await stage.isQuiet();
    return stage.log;
  } finally {
    for (const actor of stage.actors.values()) actor.close();
    await server.stop();
  }
}

function steps({ line: begin, lines }, epoch) {
  const steps = [];
  lines.forEach((written, at) => {
    const [line, text] = [begin + 1 + at, written.replaceAll(EPOCH, epoch)];
    const said = /^([a-z]+[a-z0-9-]*)([<>]) (.*)$/.exec(text);
    if (said) steps.push({ line, actor: said[1], direction: said[2], text: said[3] });
    else if (text.startsWith("$ ")) steps.push({ line, command: text.slice(2), prints: [] });
    else if (text.startsWith("#")) return;
    else if (steps.at(-1)?.command !== undefined) steps.at(-1).prints.push(text);
    else throw new Error(`line ${line} is nothing that can be played: ${text}`);
  });
  return steps;
}

/** Whether a text is what the docs say, but for what may differ. */
export function isLike(text, documented) {
  const vary = (text) => VARYING.reduce((text, [what, by]) => text.replace(what, by), text);
  const pattern = vary(documented).split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${pattern.join("[^]*?")}$`).test(vary(text));
}

function expect(text, documented, line) {
  if (!isLike(text, documented)) throw new Error(`line ${line}\n  says  ${documented}\n  but it is  ${text}`);
}

class Stage {
  constructor(server) {
    this.server = server;
    this.actors = new Map();
    this.log = [];
  }

  async play({ line, actor, direction, text, command, prints }) {
    if (command !== undefined) {
      const documented = prints.join("\n");
      return expect(await run(command, this.server, (printed) => isLike(printed, documented)), documented, line);
    }
    if (text.startsWith("GET ")) return void this.actors.set(actor, await connect(this.server, actor, text.slice(4)));
    if (!this.actors.has(actor)) this.actors.set(actor, await connect(this.server, actor, undefined, direction === ">"));
    const one = this.actors.get(actor);
    if (text === "CLOSE") return one.close();
    if (direction === ">") one.send(text);
    else expect((text = await within(one.next(), `line ${line}: ${text}`)), arguments[0].text, line);
    const channel = actor.startsWith("client") ? "native" : one instanceof Talk ? "ingest" : "lines";
    this.log.push({ actor, channel, direction, text });
  }

  /** What nobody documented would stand before the answer to a ping. */
  async isQuiet() {
    for (const [name, actor] of this.actors) {
      if (!name.startsWith("client") || actor.isClosed) continue;
      actor.send('{"op":"ping","id":"end"}');
      const next = await within(actor.next(), "the answer to a ping");
      if (!next.startsWith('{"op":"pong","id":"end"')) throw new Error(`${name} was also told ${next}`);
    }
  }
}

async function connect(server, actor, target, isGreeted = false) {
  if (actor.startsWith("client")) return Talk.open(`ws://${server.at.subscribers}${target ?? "/v1/ws"}`, isGreeted);
  if (target !== undefined) return Talk.open(`ws://${server.at.ingest}${target}`, false);
  const feed = await Feed.connect(server.at.ingest);
  return {
    send: (line) => feed.socket.write(`${line}\n`),
    next: async () => (await feed.answers.next()).value,
    close: () => feed.socket.end(),
  };
}

/** A WebSocket whose messages are taken one by one. */
export class Talk {
  static async open(url, isGreeted) {
    const talk = new Talk();
    const socket = (talk.socket = new WebSocket(url));
    talk.waiting = [];
    socket.onmessage = ({ data }) => talk.waiting.push(data);
    socket.onclose = ({ code, reason }) => (talk.isClosed = talk.waiting.push(`CLOSE ${code} ${reason}`.trim()));
    const opened = new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
    await within(opened, url);
    socket.onerror = null;
    // Where the docs begin with a request, the greeting was shown before.
    if (isGreeted) await talk.next();
    return talk;
  }

  send(text) {
    this.socket.send(text);
  }

  next() {
    return until(() => this.waiting.shift(), "a message");
  }

  close() {
    this.isClosed = true;
    this.socket.close();
  }
}

/** What a command prints, until it ends. Some never end: one that has printed what is documented is ended soon after. */
function run(command, server, isPrinted) {
  const ports = { 9001: "subscribers", 9002: "ingest", 9003: "admin" };
  const here = command.replace(/127\.0\.0\.1:(900[123])/g, (_, port) => server.at[ports[port]]);
  const env = { ...process.env, PATH: `${path.dirname(program)}:${process.env.PATH}` };
  const child = spawn("bash", ["-c", here], { cwd: root, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const said = { out: "", err: "" };
  const end = () => {
    try {
      process.kill(-child.pid);
    } catch {
      // It has just ended by itself.
    }
  };
  let ending;
  child.stderr.on("data", (bytes) => (said.err += bytes));
  child.stdout.on("data", (bytes) => {
    said.out += bytes;
    if (isPrinted(said.out.trimEnd())) ending ??= setTimeout(end, 200);
  });
  const ended = new Promise((resolve, reject) => {
    child.on("close", (code, signal) => {
      clearTimeout(ending);
      if (code === 0 || ending) resolve(said.out.trimEnd());
      else reject(new Error(`${command}\nended with ${code ?? signal}\n${said.out}\n${said.err}`));
    });
  });
  return within(ended, command).finally(end);
}
