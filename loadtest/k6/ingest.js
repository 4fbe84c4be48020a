// Feeds over HTTP: `POST /publish` in each of its forms. What was sent was accepted, and is there.
//
// Each VU publishes a channel of its own, so that the channel's sequence says how many of its records the server took.

import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter, Rate } from 'k6/metrics';
import { assertReady } from './lib/page.js';
import { boundMs, number, seconds } from './lib/settings.js';
import { ingest, subscribers } from './lib/target.js';

const SECONDS = seconds(30);
const FEEDS = number('FEEDS', 10, 1, 200);
const BATCH = number('BATCH', 50, 2, 10_000);
const PAUSE_MS = number('PAUSE_MS', 50, 0, 10_000);
const LATENCY_P95_MS = boundMs('LATENCY_P95_MS', 100);
const LATENCY_MAX_MS = boundMs('LATENCY_MAX_MS', 2000);

const published = new Counter('published');
const acceptedAll = new Rate('accepted_all'); // requests whose `accepted` is what was sent
const arrivedAll = new Rate('arrived_all'); // the channel's sequence is what was accepted
const serverErrors = new Counter('server_errors');

export const options = {
  scenarios: { feeds: { executor: 'constant-vus', vus: FEEDS, duration: `${SECONDS}s`, gracefulStop: '15s' } },
  thresholds: {
    checks: ['rate==1'],
    accepted_all: ['rate==1'],
    arrived_all: ['rate==1'],
    server_errors: ['count==0'],
    published: [`count>${FEEDS * SECONDS}`],
    'http_req_duration{name:publish}': [`p(95)<${LATENCY_P95_MS}`, `max<${LATENCY_MAX_MS}`],
  },
};

export function setup() {
  assertReady();
}

// How many records this VU's channel got so far.
let accepted = 0;

function envelopes(count) {
  const channel = `k6-${__VU}@trade`;
  return Array.from({ length: count }, (_, at) => {
    const data = { e: 'trade', s: channel, t: accepted + at, p: '61234.56000000', q: '0.00123000', m: true };
    return JSON.stringify({ channel, data });
  });
}

function publish(body, type) {
  const params = { headers: { 'Content-Type': type }, tags: { name: 'publish' }, timeout: '10s' };
  const response = http.post(`http://${ingest}/publish`, body, params);
  if (response.status === 0 || response.status >= 500) serverErrors.add(1);
  return response;
}

function answerOf(response) {
  return response.status === 200 ? JSON.parse(response.body) : {};
}

function publishAll(body, type, count) {
  const answer = answerOf(publish(body, type));
  acceptedAll.add(answer.accepted === count && answer.rejected === undefined);
  accepted += answer.accepted || 0;
  published.add(answer.accepted || 0);
}

export default function () {
  publishAll(envelopes(BATCH).join('\n'), 'application/x-ndjson', BATCH);
  publishAll(`[${envelopes(BATCH).join(',')}]`, 'application/json', BATCH);
  publishAll(envelopes(1)[0], 'application/json', 1);
  withOneBad();
  withNothingGood();
  const last = http.get(`http://${subscribers}/v1/last?channels=k6-${__VU}@trade`, { tags: { name: 'last' }, timeout: '10s' });
  arrivedAll.add(last.status === 200 && JSON.parse(last.body)[0].seq === accepted);
  sleep(PAUSE_MS / 1000);
}

// One bad record costs itself, not its neighbours.
function withOneBad() {
  const lines = envelopes(BATCH);
  lines[1] = '{"channel":"no kind","data":1}';
  const answer = answerOf(publish(lines.join('\n'), 'application/x-ndjson'));
  accepted += answer.accepted || 0;
  published.add(answer.accepted || 0);
  check(answer, {
    'its neighbours are accepted': ({ accepted }) => accepted === BATCH - 1,
    'the bad one is named': ({ rejected }) => rejected && rejected.length === 1 && rejected[0].index === 1,
  });
}

function withNothingGood() {
  check(publish('not json\n', 'application/x-ndjson'), { 'nothing readable is a 400': ({ status }) => status === 400 });
}
