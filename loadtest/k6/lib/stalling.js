// A native subscriber that can really leave its socket unread.
//
// k6/experimental/websockets cannot: its reader goroutine goes on whatever the script does, and k6 itself queues without a bound.
// The older k6/ws hands each message to the script through a channel without a buffer, so while a handler sleeps nobody reads: the
// kernel's buffers fill, and then the server's outbox. (Its pings wait as well: a stall must be shorter than the server's pong time-out.)

import ws from 'k6/ws';
import { sleep } from 'k6';
import { Follower } from './follower.js';
import * as measures from './measures.js';
import { subscribers } from './target.js';

// Subscribes to `wish`, reads for `readMs`, stalls for `stallMs`, by turns until `endsAtMs`; then gives the follower.
export function readAndStall(wish, { readMs, stallMs, endsAtMs, tags }) {
  const follower = new Follower(tags);
  let isOver = false;
  const response = ws.connect(`ws://${subscribers}/v1/ws`, {}, (socket) => {
    let stallsAtMs = Date.now() + readMs;
    socket.on('open', () => socket.send(JSON.stringify({ op: 'subscribe', id: 1, ...wish })));
    socket.on('error', (error) => measures.failed(error.error()));
    socket.on('close', () => {
      if (!isOver) measures.closesUnasked.add(1, tags);
    });
    socket.on('message', (text) => {
      const nowMs = Date.now();
      take(follower, JSON.parse(text), wish, nowMs);
      if (nowMs >= endsAtMs) {
        isOver = true;
        socket.close();
      } else if (nowMs >= stallsAtMs && nowMs + stallMs + readMs <= endsAtMs) {
        sleep(stallMs / 1000);
        stallsAtMs = Date.now() + readMs;
      }
    });
  });
  if (!response || response.status !== 101) measures.failed(new Error(`no upgrade: ${response && response.status}`));
  follower.count();
  return follower;
}

function take(follower, message, wish, nowMs) {
  if (message.op === 'ack') follower.subscribed(message, wish, nowMs);
  else if (message.op === 'gap') follower.gap(message);
  else if (message.op === 'error') measures.failed(new Error(`${message.code}: ${message.message}`));
  else if (message.ch !== undefined && message.op === undefined) follower.record(message, nowMs);
}
