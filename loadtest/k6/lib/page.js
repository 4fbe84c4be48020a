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

// Records due to subscribers less all that became of them, over all shards; 0 if nothing was lost uncounted.
export function unaccounted(values) {
  let missing = 0;
  for (let shard = 0; values.has(term('matched', shard)); shard++) {
    missing += values.get(term('matched', shard)) - values.get(`tapecast_shard_pending_records{shard="${shard}"}`);
    for (const fate of FATES) missing -= values.get(term(fate, shard));
  }
  return missing;
}

function term(name, shard) {
  return `tapecast_shard_${name}_records_total{shard="${shard}"}`;
}
