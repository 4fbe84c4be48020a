// The JavaScript client under whatever comes to mind, in an order that a seed decides: subscriptions that overlap, change and are refused, cuts, records.
//
//   SEED=7 tests/outside/run client_random      one walk again
//
// Invariant: each subscription is given every record of its channels once, in order, from its first on. Takes about five seconds.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Connection } from "../../clients/js/tapecast.js";
import { Feed, PATIENCE_MS, Server, until } from "./harness.mjs";
import { Proxy } from "./proxy.mjs";

const STEPS = 300;
const CHANNELS = ["trade", "ticker", "depth"].flatMap((kind) => Array.from({ length: 8 }, (_, at) => `s${at}@${kind}`));
const PATTERNS = ["*@trade", "*@ticker", "s1*@*", "*@*", "s*@depth"];
const SEEDS = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: 4 }, () => Math.floor(Math.random() * 2 ** 32));

/** Numbers below a bound, the same ones for the same seed. */
function dice(seed) {
  return (bound) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * bound);
  };
}

/** One subscription, and what it was given; the number in each record is its sequence. */
class Follower {
  constructor(client, roll, complain) {
    const name = () => (roll(3) > 0 ? CHANNELS[roll(CHANNELS.length)] : PATTERNS[roll(PATTERNS.length)]);
    this.names = Array.from({ length: 1 + roll(3) }, name);
    this.isBad = roll(12) === 0;
    this.everyMs = roll(3) > 0 ? 0 : 1 + roll(100);
    this.next = new Map();
    this.complain = (what) => complain(`${what}, by ${this.names} every ${this.everyMs} ms`);
    const names = this.isBad ? [...this.names, "bad"] : this.names;
    this.subscription = client.subscribe(names, (record) => this.#take(record), { everyMs: this.everyMs, snapshot: roll(4) > 0 });
    this.subscription.ready.then(() => (this.isReady = true), () => {});
  }

  #take({ channel, seq, skipped, snapshot, data }) {
    const next = this.next.get(channel);
    if (this.hasLeft || data !== seq) this.complain(`${channel} ${seq} (${data}) was given`);
    if (next !== undefined && (snapshot || seq - skipped !== next)) this.complain(`${channel} ${seq} after ${next - 1}, ${skipped} skipped`);
    this.next.set(channel, seq + 1);
  }

  leave() {
    this.subscription.unsubscribe();
    this.hasLeft = true;
  }

  refused({ code }) {
    this.hasLeft = true;
    const deserved = { invalid_channel: this.isBad, not_conflatable: this.everyMs > 0 };
    if (!deserved[code]) this.complain(`refused with ${code}`);
  }

  isAt(fed) {
    const isMine = (channel) => this.names.some((name) => new RegExp(`^${name.replaceAll("*", ".*")}$`).test(channel));
    return CHANNELS.every((channel) => !isMine(channel) || this.next.get(channel) === fed.get(channel) + 1);
  }
}

async function walk(t, seed) {
  const roll = dice(seed), fed = new Map(), wrong = [];
  const server = await Server.start({ set: ["limits.channels=30", "limits.messages_burst=0", "limits.messages_per_second=0", "ring.bytes=67108864"] });
  t.after(() => server.stop("SIGKILL"));
  const proxy = await Proxy.start(server.at.subscribers);
  t.after(() => proxy.stop());
  const feed = await Feed.connect(server.at.ingest);
  t.after(() => feed.close());
  const client = new Connection(proxy.ws, { backOffMs: [5, 40] });
  t.after(() => client.close());
  let followers = [];
  client.on("gap", (gap) => wrong.push(`a gap, where nothing is missing: ${JSON.stringify(gap)}`));
  client.on("error", (error) => followers.find(({ subscription }) => subscription.channels === error.channels)?.refused(error));

  const publish = (channel) => feed.publish(channel, fed.set(channel, (fed.get(channel) ?? 0) + 1).get(channel));
  const join = () => followers.push(new Follower(client, roll, (what) => wrong.push(what)));
  const leave = () => followers.splice(roll(followers.length), 1)[0]?.leave();
  const pause = () => new Promise((resolve) => setTimeout(resolve, roll(30)));
  const steps = [
    [8, () => { for (let left = roll(40); left > 0; left--) publish(CHANNELS[roll(CHANNELS.length)]); }],
    [4, () => followers.length < 12 && join()],
    [3, leave],
    [1, () => proxy.cut()],
    [1, () => (join(), leave())],
    [3, pause],
  ].flatMap(([weight, step]) => Array(weight).fill(step));
  for (let step = 0; step < STEPS && wrong.length === 0; step++) await steps[roll(steps.length)]();
  const settled = (condition, what) =>
    until(() => wrong.length > 0 || followers.every((one) => one.hasLeft || condition(one)), what).catch(({ message }) => wrong.push(message));
  await settled(({ isReady }) => isReady, "every answer");
  for (const channel of CHANNELS) publish(channel);
  await settled((one) => one.isAt(fed), "every record");
  assert.deepEqual(wrong, [], `SEED=${seed}`);
}

for (const seed of SEEDS) test(`a walk of ${STEPS} steps, SEED=${seed}`, { timeout: 2 * PATIENCE_MS }, (t) => walk(t, seed));
