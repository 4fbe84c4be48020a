// Each basic promise once, by a few users: the native protocol, Binance's, and plain HTTP.
//
// Not here: `/v1/sse`. k6 reads a response to its end, and an event stream has none; tests/ follow it.

import { check } from 'k6';
import http from 'k6/http';
import { both, bookTicker, pick, trade, TRADES } from './lib/market.js';
import { combined } from './lib/binance.js';
import { counted, PROMISES } from './lib/measures.js';
import { connect, pause } from './lib/native.js';
import { assertFed, scrape } from './lib/page.js';
import { number, seconds } from './lib/settings.js';
import { admin, subscribers } from './lib/target.js';

const SECONDS = seconds(30);
const USERS = number('USERS', 3, 1, 100);

export const options = {
  scenarios: { users: { executor: 'constant-vus', vus: USERS, duration: `${SECONDS}s`, gracefulStop: '15s' } },
  thresholds: {
    ...PROMISES,
    refusals: ['count==0'],
    gap_records: ['count==0'],
    checks: ['rate==1'],
    iterations: [`count>=${USERS}`],
  },
};

export function setup() {
  assertFed();
}

export default counted(async () => {
  const symbols = pick(2);
  await subscribes(symbols);
  await resumes(symbols);
  await speaksBinance(symbols);
  asksByHttp(symbols);
  asksTheOperatorsPort();
});

async function subscribes(symbols) {
  const user = await connect();
  check(user, { 'hello names the epoch': ({ epoch }) => typeof epoch === 'string' && epoch.length > 0 });
  const ack = await user.subscribe({ channels: both(symbols) });
  const hasBegun = ({ seq }) => seq > 0;
  check(ack.channels, { 'each channel is acknowledged': (told) => told && told.length === 4 && told.every(hasBegun) });
  await user.stay(500);
  check(user.position().seq, { 'each channel has come': (seq) => Object.keys(seq).length === 4 });
  check(await user.ask({ op: 'ping' }), { 'ping is answered': ({ op }) => op === 'pong' });
  check(await user.ask({ op: 'list' }), { 'list tells the channels': ({ channels }) => channels.length === 4 });
  const rated = await user.subscribe({ channels: [bookTicker(symbols[0])], every_ms: 100 });
  check(rated, { 'a rate is taken': ({ op }) => op === 'ack' });
  const refused = await user.subscribe({ channels: [trade(symbols[0])], every_ms: 100 });
  check(refused, { 'trades take no rate': ({ op, code }) => op === 'error' && code === 'not_conflatable' });
  const invalid = await user.subscribe({ channels: ['nokind'] });
  check(invalid, { 'a bad name is refused': ({ op, code }) => op === 'error' && code === 'invalid_channel' });
  const gone = await user.unsubscribe(both(symbols));
  check(gone, { 'unsubscribe is acknowledged': ({ op }) => op === 'ack' });
  const pattern = await user.subscribe({ channels: [TRADES] });
  check(pattern, { 'a pattern tells how many it matched': ({ channels }) => channels[0].count >= 2 });
  await user.stay(300);
  await user.close();
}

async function resumes(symbols) {
  const before = await connect();
  await before.subscribe({ channels: both(symbols) });
  await before.stay(300);
  await before.close();
  await pause(200);
  const after = await connect();
  const resume = before.position();
  const ack = await after.subscribe({ channels: both(symbols), resume });
  check(ack, { 'all is recovered': ({ channels }) => channels.every(({ recovered }) => recovered === true) });
  await after.stay(300);
  const { seq } = after.position();
  check(seq, { 'and goes on behind it': () => both(symbols).every((channel) => seq[channel] > resume.seq[channel]) });
  await after.close();
}

async function speaksBinance(symbols) {
  const streams = both(symbols);
  const { events, acknowledged } = await combined(streams.slice(1), streams[0], 700);
  check(acknowledged, { 'SUBSCRIBE is acknowledged': ({ result, id }) => result === null && id === 7 });
  check(events, {
    'each stream has come': () => streams.every((stream) => events.some((event) => event.stream === stream)),
    'no other has come': () => events.every((event) => streams.includes(event.stream) && event.data !== undefined),
  });
}

function asksByHttp([symbol]) {
  const channel = trade(symbol);
  const get = (path) => http.get(`http://${subscribers}${path}`, { tags: { name: 'fallback' } });
  const last = get(`/v1/last?channels=${channel}`);
  check(last, { 'the last value is told': () => last.status === 200 && last.json()[0].ch === channel });
  const first = get(`/v1/poll?channels=${channel}&wait_ms=2000`).json();
  const next = get(`/v1/poll?channels=${channel}&wait_ms=5000&cursor=${encodeURIComponent(first.cursor)}`).json();
  const { seq } = first.records[first.records.length - 1];
  check(next, { 'a poll goes on behind its cursor': () => next.records[0].seq === seq + 1 });
  const all = get('/v1/channels');
  check(all, { 'the channels are listed': () => all.json().channels.some((entry) => entry.channel === channel) });
  check(get('/nothing'), { 'an unknown path is a 404': ({ status }) => status === 404 });
}

function asksTheOperatorsPort() {
  check(http.get(`http://${admin}/healthz`), { 'it says that it lives': ({ status }) => status === 200 });
  check(scrape(), { 'it counts records': (values) => values.get('tapecast_ingest_accepted_records_total') > 0 });
}
