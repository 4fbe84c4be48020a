// Binance's protocol as its clients speak it: a combined stream by its address, and one more stream by SUBSCRIBE.

import { WebSocket } from 'k6/experimental/websockets';
import * as measures from './measures.js';
import { subscribers } from './target.js';

const ID = 7;

// Listens to `streams` and, once open, to `another`, for `ms`. Gives the events and what SUBSCRIBE was answered.
export function combined(streams, another, ms) {
  return new Promise((resolve, reject) => {
    const heard = { events: [], acknowledged: {} };
    let failure = 'the server closed';
    let isLeaving = false;
    const socket = new WebSocket(`ws://${subscribers}/stream?streams=${streams.join('/')}`);
    socket.onerror = (event) => (failure = event.error);
    socket.onopen = () => {
      socket.send(JSON.stringify({ method: 'SUBSCRIBE', params: [another], id: ID }));
      setTimeout(() => {
        isLeaving = true;
        socket.close();
      }, ms);
    };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.id === ID) heard.acknowledged = message;
      else heard.events.push(message);
    };
    socket.onclose = () => {
      if (isLeaving) return resolve(heard);
      measures.closesUnasked.add(1);
      return reject(new Error(String(failure)));
    };
  });
}
