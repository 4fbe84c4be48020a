// The page's side of the worker that holds the connection (feed.js): subscriptions go there, records and events come back in batches.

export class Remote {
  state = "connecting";
  /** The server's `hello`, once there was one. */
  hello;
  clockOffsetUs = 0;
  stats = { messages: 0 };
  #worker;
  #subscriptions = new Map();
  #listeners = new Map();
  #key = 0;

  constructor() {
    const url = new URL("feed.js", import.meta.url);
    // The page's policy takes no script's address that did not go through a policy of this name.
    const trusted = globalThis.trustedTypes?.createPolicy("worker", { createScriptURL: () => url.href }).createScriptURL("");
    this.#worker = new Worker(trusted ?? url, { type: "module" });
    this.#worker.addEventListener("message", ({ data }) => this.#take(data));
    // One without words: its files did not come.
    this.#worker.addEventListener("error", ({ message }) => this.#give({ event: "error", told: { code: "worker", message: message || `${url.pathname}, or what it imports, was not served` } }));
  }

  /** `newest`: of each channel only the newest is wanted. `refused` is called with the code where the server refuses it. */
  subscribe(channels, take, { everyMs = 0, snapshot = true, newest = false, refused = () => {} } = {}) {
    const key = ++this.#key;
    this.#subscriptions.set(key, { take, refused });
    this.#worker.postMessage({ op: "subscribe", key, channels, everyMs, snapshot, newest });
    const unsubscribe = () => {
      if (this.#subscriptions.delete(key)) this.#worker.postMessage({ op: "unsubscribe", key });
    };
    return { channels, unsubscribe };
  }

  on(event, callback) {
    const listeners = this.#listeners.get(event) ?? [];
    listeners.push(callback);
    this.#listeners.set(event, listeners);
  }

  #take({ items, newest, state, hello, clockOffsetUs, stats }) {
    this.#worker.postMessage({ op: "taken" });
    Object.assign(this, { state, hello, clockOffsetUs, stats });
    for (const item of items) this.#give(item);
    for (const item of newest) this.#give(item);
  }

  #give({ key, record, refused, event, told }) {
    if (event !== undefined) for (const callback of this.#listeners.get(event) ?? []) callback(told);
    // What still came for a subscription that was given back.
    const subscription = this.#subscriptions.get(key);
    if (!subscription) return;
    if (record) subscription.take(record);
    else subscription.refused(refused);
  }
}
