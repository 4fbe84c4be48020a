// A subscriber of `/v1/ws`, over k6's event loop: requests with answers, everything else to its follower.
//
// Invariant: a connection that ends before `close` was called is counted, a request without an answer fails, and no timer outlives
// the connection (k6 would wait for it).

import { WebSocket } from 'k6/experimental/websockets';
import { Follower } from './follower.js';
import * as measures from './measures.js';
import { subscribers } from './target.js';

const ANSWER_WITHIN_MS = 10_000;

// What gorilla, inside k6, says of a handshake that got an answer other than 101; the status itself does not reach the script.
const NOT_UPGRADED = 'bad handshake';

// The handshake was answered, but not with 101.
export class Refused extends Error {}

// Opens a connection and waits for `hello`. Throws `Refused`, or an Error where there was no answer.
export function connect(tags) {
  const native = new Native(tags);
  return native.hello;
}

export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

class Native {
  constructor(tags = {}) {
    this.tags = tags;
    this.follower = new Follower(tags);
    this.epoch = null;
    this.isOpen = false;
    this.isLeaving = false;
    this.answers = new Map(); // id -> { resolve, reject, timer }
    this.lastId = 0;
    this.whenOver = () => {};
    this.failure = 'the connection ended before hello';
    this.openedMs = Date.now();
    this.socket = new WebSocket(`ws://${subscribers}/v1/ws`);
    this.hello = new Promise((resolve, reject) => this.answers.set('hello', this.answer('hello', resolve, reject)));
    this.socket.onmessage = (event) => this.heard(event);
    this.socket.onerror = (event) => (this.failure = String(event.error));
    this.socket.onclose = () => this.over();
  }

  // The acknowledgement, or the `error` that came instead. `wish` is a `subscribe` without `op` and `id`.
  async subscribe(wish) {
    this.follower.asked(Date.now());
    return this.ask({ op: 'subscribe', ...wish });
  }

  async unsubscribe(channels) {
    return this.ask({ op: 'unsubscribe', channels });
  }

  // Sends a request and gives its answer.
  ask(request) {
    this.lastId += 1;
    const id = this.lastId;
    return new Promise((resolve, reject) => {
      this.answers.set(id, { ...this.answer(id, resolve, reject), request });
      this.socket.send(JSON.stringify({ ...request, id }));
    });
  }

  // Reads on for so long; false when the connection ended meanwhile.
  stay(ms) {
    if (!this.isOpen) return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(true), ms);
      this.whenOver = () => {
        clearTimeout(timer);
        resolve(false);
      };
    });
  }

  // What a `subscribe` needs to go on from here after a hang-up.
  position() {
    return { epoch: this.epoch, seq: this.follower.position() };
  }

  // Says goodbye and waits until the server did too.
  async close() {
    if (!this.isOpen) return;
    this.isLeaving = true;
    const gone = this.stay(ANSWER_WITHIN_MS);
    this.socket.close();
    if (await gone) throw new Error('the server did not answer the close');
  }

  answer(id, resolve, reject) {
    const late = () => {
      this.answers.delete(id);
      reject(new Error(`no answer to ${id} within ${ANSWER_WITHIN_MS} ms`));
      this.isLeaving = true;
      this.socket.close();
    };
    return { resolve, reject, timer: setTimeout(late, ANSWER_WITHIN_MS) };
  }

  heard(event) {
    try {
      const message = JSON.parse(event.data);
      if (message.ch !== undefined && message.op === undefined) this.record(message, event.timestamp);
      else this.word(message, event.timestamp);
    } catch (error) {
      measures.failed(error);
    }
  }

  record(record, nowMs) {
    this.follower.record(record, nowMs);
    if (record.seq % measures.SAMPLE_ONE_IN === 0) measures.behindMs.add(Math.max(0, Date.now() - nowMs));
  }

  word(word, nowMs) {
    if (word.op === 'gap') this.follower.gap(word);
    else if (word.op === 'hello') this.greeted(word, nowMs);
    else if (word.id !== undefined) this.answered(word, nowMs);
    else if (word.op === 'error') measures.failed(`${word.code}: ${word.message}`);
  }

  greeted(word, nowMs) {
    this.epoch = word.epoch;
    this.isOpen = true;
    measures.connectMs.add(nowMs - this.openedMs);
    this.settle('hello').resolve(this);
  }

  answered(word, nowMs) {
    const answer = this.settle(word.id);
    if (word.op === 'ack' && answer.request.op === 'subscribe') this.follower.subscribed(word, answer.request, nowMs);
    if (word.op === 'ack' && answer.request.op === 'unsubscribe') this.follower.unsubscribed(word);
    answer.resolve(word);
  }

  settle(id) {
    const answer = this.answers.get(id);
    if (!answer) throw new Error(`an answer to ${id}, which was not asked`);
    clearTimeout(answer.timer);
    this.answers.delete(id);
    return answer;
  }

  over() {
    const isRefused = !this.isOpen && this.failure.includes(NOT_UPGRADED);
    if (isRefused) measures.refusals.add(1);
    if (this.isOpen && !this.isLeaving) measures.closesUnasked.add(1, this.tags);
    this.isOpen = false;
    this.follower.count();
    const failure = isRefused ? new Refused(this.failure) : new Error(this.failure);
    for (const id of [...this.answers.keys()]) this.settle(id).reject(failure);
    this.whenOver();
  }
}
