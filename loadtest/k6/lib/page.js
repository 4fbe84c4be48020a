// The server's own figures: one scrape of `/metrics`, and whether its ledger adds up.

import { sleep } from 'k6';
import http from 'k6/http';
import { everything } from './market.js';
import { admin, subscribers } from './target.js';

const FEED_TRIES = 100;

const FATES = ['delivered', 'conflated', 'merged', 'dropped', 'withdrawn', 'abandoned'];

// Every value by its name with labels. Throws when there is no page: a server that is gone is no server that uses nothing.
export function scrape() {
  const response = http.get(`http://${admin}/metrics`, { tags: { name: 'metrics' } });
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status} ${response.error}`);
  const values = new Map();
  for (const line of response.body.split('\n')) {
    const at = line.lastIndexOf(' ');
    if (at > 0 && line[0] !== '#') values.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return values;
}

// Throws unless the server says that it serves.
export function assertReady() {
  const response = http.get(`http://${admin}/readyz`, { tags: { name: 'readyz' } });
  if (response.status !== 200) throw new Error(`no server at ${admin}: ${response.status} ${response.error}`);
}

// Throws unless it serves and its feed has told of every channel, or does so within ten seconds.
export function assertFed() {
  assertReady();
  const missing = () => {
    const names = new Set(http.get(`http://${subscribers}/v1/channels`).json().channels.map(({ channel }) => channel));
    return everything().filter((channel) => !names.has(channel));
  };
  for (let tries = 0; missing().length > 0; tries++) {
    if (tries === FEED_TRIES) throw new Error(`nobody feeds ${missing()}`);
    sleep(0.1);
  }
}

// The value of that name. Throws where there is none: k6 leaves out what is no number, and a bound on nothing always holds.
export function valueOf(values, name) {
  if (!Number.isFinite(values.get(name))) throw new Error(`/metrics has no ${name}`);
  return values.get(name);
}

// Records due to subscribers less all that became of them, over all shards; 0 if nothing was lost uncounted.
export function unaccounted(values) {
  let missing = -waiting(values);
  for (const shard of shards(values)) {
    missing += valueOf(values, term('matched', shard));
    for (const fate of FATES) missing -= valueOf(values, term(fate, shard));
  }
  return missing;
}

// Records that wait for subscribers, over all shards.
export function waiting(values) {
  const pending = (shard) => valueOf(values, `tapecast_shard_pending_records{shard="${shard}"}`);
  return shards(values).reduce((sum, shard) => sum + pending(shard), 0);
}

// Numbers of the shards, of which there is one at least.
function shards(values) {
  valueOf(values, term('matched', 0));
  const numbers = [];
  while (values.has(term('matched', numbers.length))) numbers.push(numbers.length);
  return numbers;
}

function term(name, shard) {
  return `tapecast_shard_${name}_records_total{shard="${shard}"}`;
}
