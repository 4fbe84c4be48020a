// Chromium for the tests of the page, and a visit that notices whatever goes wrong in it.

import { chromium } from "playwright-core";

import { until } from "./harness.mjs";

// Nothing that asks anybody outside; root, as in containers, has no sandbox.
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

/** What the browser itself writes while a server is down. */
const DOWN = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection to .* failed/;

/** A page at a server, from opening to closing: errors, refused policies and requests to others are faults. */
export class Visit {
  faults = [];
  /** The server is away: what the browser says of that is no fault. */
  isDown = false;

  static async open(browser, address, { hash = "", before, ...context } = {}) {
    const visit = new Visit();
    visit.context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...context });
    const page = (visit.page = await visit.context.newPage());
    const fault = (words) => {
      if (!(visit.isDown && DOWN.test(words))) visit.faults.push(words);
    };
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") fault(`console: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => fault(`page: ${error.stack}`));
    page.on("request", (request) => {
      if (new URL(request.url()).host !== address) fault(`asked another host: ${request.url()}`);
    });
    if (before) await page.addInitScript(before);
    visit.answer = await page.goto(`http://${address}/${hash}`);
    return visit;
  }

  /** The words of a cell of the list, or nothing while the symbol is not seen. */
  cell(symbol, key) {
    return this.page.evaluate(
      ([symbol, key]) => {
        const lines = [...document.querySelectorAll("#rows .line:not([hidden])")];
        const line = lines.find((line) => line.querySelector(".symbol span").textContent === symbol);
        return line?.querySelector(`.${key} span`).textContent;
      },
      [symbol, key],
    );
  }

  /** The names in the list, from above. */
  async names() {
    const lines = await this.page.$$eval("#rows .line:not([hidden])", (lines) =>
      lines.map((line) => [Number(line.getAttribute("aria-rowindex")), line.querySelector(".symbol span").textContent]),
    );
    return lines.sort(([a], [b]) => a - b).map(([, name]) => name);
  }

  words(id) {
    return this.page.textContent(`#${id}`);
  }

  /** Rows of a table as their cells' words, without empty ones. */
  table(id) {
    return this.page.$$eval(`#${id} tr:not([hidden])`, (rows) =>
      rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim())).filter(([first, second]) => first || second),
    );
  }

  state(words) {
    return until(async () => (await this.words("state-words")) === words, `the state “${words}”`);
  }

  async close() {
    await this.context.close();
    if (this.faults.length > 0) throw new Error(`the page had faults:\n${this.faults.join("\n")}`);
  }
}
