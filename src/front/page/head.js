// What stands above the list: the connection in words, messages a second, delay; and the bar for what one must know or do.

import { milliseconds } from "./numbers.js";

const at = (id) => document.getElementById(id);
const put = (id, words) => {
  const element = at(id);
  if (element.textContent !== words) element.textContent = words;
};

/** Of this page, put there by the server that served it. */
const VERSION = document.querySelector('meta[name="tapecast-version"]').content;

export class Head {
  #wasOpen = false;
  #retryAt = 0;
  #messages = 0;
  #countedAt = performance.now();

  constructor(connection, market, delay) {
    Object.assign(this, { connection, market, delay });
    at("bar-reload").addEventListener("click", () => location.reload());
    connection.on("state", (state) => this.#state(state));
    connection.on("end", ({ retryInMs }) => (this.#retryAt = performance.now() + (retryInMs ?? 0)));
    connection.on("error", (error) => this.#error(error));
    connection.on("shutdown", () => put("state-countdown", "(server is ending)"));
  }

  /** Once a second. */
  second() {
    const now = performance.now();
    const { messages } = this.connection.stats;
    const rate = (messages - this.#messages) / ((now - this.#countedAt) / 1000);
    this.#messages = messages;
    this.#countedAt = now;
    put("messages", Math.round(rate).toLocaleString("en"));
    const [p50, p99] = this.delay.quantiles(0.5, 0.99);
    put("p50", milliseconds(p50));
    put("p99", milliseconds(p99));
    put("symbols", this.#symbols());
    if (this.connection.state === "waiting") {
      const seconds = Math.max(0, Math.ceil((this.#retryAt - now) / 1000));
      put("state-countdown", `next attempt in ${seconds} s`);
    }
  }

  #symbols() {
    let stale = 0;
    for (const row of this.market.rows.values()) stale += Number(row.isStale);
    const all = this.market.rows.size.toLocaleString("en") + (this.market.isFull ? "+" : "");
    return stale === 0 ? all : `${all} · ${stale.toLocaleString("en")} stale`;
  }

  #state(state) {
    const isOpen = state === "open";
    this.#wasOpen ||= isOpen;
    const words = isOpen ? "Live" : state === "closed" ? "Closed" : this.#wasOpen ? "Reconnecting" : "Connecting";
    at("state").dataset.state = state;
    document.body.classList.toggle("not-live", !isOpen);
    // The same word again is not put in again: it would be read out again.
    put("state-words", words);
    put("state-countdown", "");
    if (isOpen) this.#compare(this.connection.hello.version);
    if (state === "closed") bar("The server closed this connection for good. Reload to try again.", true);
  }

  /** A page that stayed open while its server was upgraded may not understand what that says. */
  #compare(version) {
    if (version === VERSION) hideBar();
    else bar(`This page is of version ${VERSION}, the server now runs ${version}. Reload.`, true);
  }

  #error(error) {
    if (error.code === "not_conflatable") return;
    if (error.code === "not_tapecast") {
      bar(`${location.host} answers, but does not speak Tapecast's protocol at /v1/ws. Look what is served there: a proxy must pass WebSocket on to the subscribers' port.`, true);
    } else if (error.code === "worker") {
      bar(`The part of this page that holds the connection failed: ${error.message}. Reload to try again.`, true);
    } else {
      bar(`The server refused what this page asked for: ${error.message}`, false);
    }
  }
}

function bar(words, canReload) {
  put("bar-words", words);
  at("bar-reload").hidden = !canReload;
  at("bar").hidden = false;
}

function hideBar() {
  at("bar").hidden = true;
}
