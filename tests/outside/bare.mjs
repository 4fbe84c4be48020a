// A page in Chromium that nobody listens to, for measurements: Playwright is told of every WebSocket message of its own pages, which costs
// more than a page that shows them. Here only what is asked crosses the debugging protocol.

export class Bare {
  #id = 0;
  #waiting = new Map();

  static async open(browser, url) {
    const bare = new Bare();
    bare.session = await browser.newBrowserCDPSession();
    const { targetId } = await bare.session.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await bare.session.send("Target.attachToTarget", { targetId, flatten: false });
    Object.assign(bare, { targetId, sessionId });
    bare.session.on("Target.receivedMessageFromTarget", ({ message }) => {
      const { id, result, error } = JSON.parse(message);
      bare.#waiting.get(id)?.(error ? { error } : { result });
      bare.#waiting.delete(id);
    });
    await bare.send("Emulation.setDeviceMetricsOverride", { width: 1440, height: 900, deviceScaleFactor: 1, mobile: false });
    await bare.send("Page.navigate", { url });
    return bare;
  }

  async send(method, params = {}) {
    const id = ++this.#id;
    const answered = new Promise((resolve) => this.#waiting.set(id, resolve));
    await this.session.send("Target.sendMessageToTarget", { sessionId: this.sessionId, message: JSON.stringify({ id, method, params }) });
    const { result, error } = await answered;
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  /** What an expression is in the page. */
  async value(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  words(id) {
    return this.value(`document.getElementById("${id}")?.textContent ?? ""`);
  }

  /** A figure of the page's head. */
  async figure(id) {
    return Number.parseFloat((await this.words(id)).replaceAll(",", ""));
  }

  /** Bytes of the page's own heap that are in use, after a collection. */
  async heap() {
    await this.send("HeapProfiler.collectGarbage");
    return (await this.send("Runtime.getHeapUsage")).usedSize;
  }

  /** Milliseconds between the frames of `seconds`, in rising order. */
  frames(seconds) {
    return this.value(`new Promise((resolve) => {
      const lengths = [];
      let last = performance.now();
      const end = last + ${seconds * 1000};
      const frame = () => {
        const now = performance.now();
        lengths.push(now - last);
        last = now;
        if (now < end) requestAnimationFrame(frame);
        else resolve(lengths.sort((a, b) => a - b));
      };
      requestAnimationFrame(frame);
    })`);
  }

  async close() {
    await this.session.send("Target.closeTarget", { targetId: this.targetId });
    await this.session.detach();
  }
}
