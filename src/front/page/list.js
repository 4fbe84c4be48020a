// The watch list: as many lines as fit the screen, over as many rows as the market has.
//
// It is drawn at most once a frame, and only what is seen. The order is made anew at most every two seconds, and not under a pointer
// that moves or keys that walk: nobody hits what jumps.

import { COLUMNS, filtered, sort } from "./order.js";
import { FLASH_MS, Line } from "./row.js";

/** Between two orders of the same list. */
const ORDER_MS = 2000;

/** Price lines that are drawn in one frame when all are due: the next frames draw the others. */
const SPARKS_A_FRAME = 6;

/** Lines beyond the edges, so that a slow scroll shows no hole. */
const SPARE = 2;

export class List {
  #grid = document.getElementById("grid");
  #body = document.getElementById("rows");
  #nothing = document.getElementById("nothing");
  #headers = new Map();
  #lines = [];
  #height = 30;
  #rows = [];
  #selected;
  #isUnordered = true;
  #orderedAt = 0;
  /** When pointer or keys were last at it. */
  #pointedAt = -Infinity;
  /** Of the market, when the order was made. */
  marketVersion = -1;
  #first = 0;
  #later;
  /** The order was made anew: what is seen is told again, for a row may have got channels that it had not. */
  #isNew = false;

  /** `place`: sort, down, filter. `changed` is called when it was edited, `open` with the row that is to be opened, `dirty` for a frame. */
  constructor(market, place, { changed, open, dirty, seen }) {
    Object.assign(this, { market, place, changed, open, dirty, seen });
    this.#makeHeader();
    this.#measure();
    this.#listen();
  }

  focus() {
    this.#grid.focus({ preventScroll: true });
  }

  filter(words) {
    this.place.filter = words;
    this.#grid.scrollTop = 0;
    this.reorder();
    this.changed();
  }

  /** The order, or what is in it, is to be made anew with the next frame. */
  reorder() {
    this.#isUnordered = true;
    this.dirty();
  }

  /** Each price line has a new point. */
  sampled() {
    for (const line of this.#lines) line.isSparkOld = line.row !== undefined;
    this.dirty();
  }

  /** Draws it as it is now. */
  paint(now) {
    const isDue = now - this.#orderedAt > ORDER_MS && now - this.#pointedAt > ORDER_MS;
    const hasMore = this.marketVersion !== this.market.version;
    if (this.#isUnordered || isDue || (hasMore && now - this.#orderedAt > 200)) this.#order(now);
    else if (hasMore) setTimeout(this.dirty, 200);
    this.#place();
    let sparks = SPARKS_A_FRAME;
    let isFlashing = false;
    for (const line of this.#lines) {
      if (!line.row) continue;
      isFlashing = line.paint(now) || isFlashing;
      if (line.isSparkOld && sparks-- > 0) line.spark(this.market);
    }
    if (sparks < 0) this.dirty();
    if (isFlashing) this.#drawLater();
  }

  /** Marks are to go also where nothing more comes. */
  #drawLater() {
    this.#later ??= setTimeout(() => {
      this.#later = undefined;
      this.dirty();
    }, FLASH_MS);
  }

  #order(now) {
    this.#isUnordered = false;
    this.#isNew = true;
    this.#orderedAt = now;
    this.marketVersion = this.market.version;
    this.#rows = sort(filtered(this.market.rows.values(), this.place.filter), this.place.sort, this.place.down);
    this.#body.style.height = `${this.#rows.length * this.#height}px`;
    this.#grid.setAttribute("aria-rowcount", this.#rows.length + 1);
    const hasNothing = this.#rows.length === 0 && this.market.rows.size > 0;
    this.#nothing.hidden = !hasNothing;
    if (hasNothing) this.#nothing.textContent = `No symbol holds “${this.place.filter}”. Esc clears the filter.`;
  }

  /** Gives each line the row that it shows. A row keeps its line as long as both are seen: what scrolls is moved, not written. */
  #place() {
    const seen = Math.ceil(this.#grid.clientHeight / this.#height) + 2 * SPARE;
    while (this.#lines.length < seen) this.#lines.push(this.#makeLine());
    const count = this.#lines.length;
    const top = Math.floor(this.#grid.scrollTop / this.#height) - SPARE;
    const first = Math.max(0, Math.min(top, this.#rows.length - count));
    let isOther = first !== this.#first || this.#isNew;
    this.#first = first;
    this.#isNew = false;
    // Lines are let go first: a row that moved from one to another is seen by the other.
    for (let at = first; at < first + count; at++) {
      const line = this.#lines[at % count];
      if (line.row && line.row !== this.#rows[at]) {
        line.release();
        isOther = true;
      }
    }
    for (let at = first; at < first + count; at++) {
      const line = this.#lines[at % count];
      const row = this.#rows[at];
      if (!row) {
        line.hide();
        continue;
      }
      isOther ||= line.row !== row;
      line.show(row, at, this.#height);
      line.select(row === this.#selected);
    }
    if (isOther) {
      this.#tellActive();
      this.seen(this.#lines.filter((line) => line.row).map((line) => line.row));
    }
  }

  #makeLine() {
    const line = new Line(`line-${this.#lines.length}`);
    line.element.addEventListener("click", () => {
      this.select(line.row);
      this.open(line.row);
    });
    this.#body.append(line.element);
    return line;
  }

  select(row) {
    this.#selected = row;
    for (const line of this.#lines) line.select(line.row !== undefined && line.row === row);
    this.#tellActive();
  }

  /** To who cannot see it, the selected line is where one is. */
  #tellActive() {
    const line = this.#lines.find((line) => line.row !== undefined && line.row === this.#selected);
    if (line) this.#grid.setAttribute("aria-activedescendant", line.element.id);
    else this.#grid.removeAttribute("aria-activedescendant");
  }

  #makeHeader() {
    const columns = document.getElementById("columns");
    this.#grid.setAttribute("aria-colcount", COLUMNS.length);
    for (const { key, title, isText } of COLUMNS) {
      const cell = document.createElement("div");
      cell.setAttribute("role", "columnheader");
      cell.className = `cell ${key}`;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = title;
      button.addEventListener("click", () => this.#sortBy(key, isText));
      cell.append(button);
      columns.append(cell);
      this.#headers.set(key, cell);
    }
    this.#tellOrder();
  }

  /** Numbers begin with the largest, names with A; the same column again turns it round. */
  #sortBy(key, isText) {
    const { place } = this;
    place.down = place.sort === key ? !place.down : !isText;
    place.sort = key;
    this.#tellOrder();
    this.reorder();
    this.changed();
  }

  #tellOrder() {
    for (const [key, cell] of this.#headers) {
      if (key !== this.place.sort) cell.removeAttribute("aria-sort");
      else cell.setAttribute("aria-sort", this.place.down ? "descending" : "ascending");
    }
  }

  #listen() {
    this.#grid.addEventListener("scroll", this.dirty, { passive: true });
    this.#grid.addEventListener("keydown", (event) => this.#key(event));
    for (const event of ["pointermove", "pointerdown"]) this.#body.addEventListener(event, ({ timeStamp }) => (this.#pointedAt = timeStamp), { passive: true });
    new ResizeObserver(() => {
      this.#measure();
      this.reorder();
    }).observe(this.#grid);
  }

  /** A line's height is the style's, which follows the reader's font size. */
  #measure() {
    if (this.#lines.length === 0) this.#lines.push(this.#makeLine());
    this.#lines[0].element.hidden = false;
    this.#height = this.#lines[0].element.offsetHeight || this.#height;
    for (const line of this.#lines) {
      line.move(this.#height);
      line.isSparkOld = line.row !== undefined;
      line.element.hidden = line.row === undefined;
    }
  }

  #key(event) {
    // A header's button does what buttons do.
    if (event.target !== this.#grid || event.altKey || event.ctrlKey || event.metaKey) return;
    const at = this.#rows.indexOf(this.#selected);
    const page = Math.max(1, Math.floor(this.#grid.clientHeight / this.#height) - 2);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: Infinity }[event.key];
    if (event.key === "Enter" && at >= 0) this.open(this.#selected);
    else if (to !== undefined) this.#choose(Math.max(0, Math.min(this.#rows.length - 1, to)));
    else return;
    this.#pointedAt = event.timeStamp;
    event.preventDefault();
  }

  #choose(at) {
    const row = this.#rows[at];
    if (!row) return;
    const above = at * this.#height;
    // The line of the columns stands over the first of them.
    const room = this.#grid.clientHeight - 2 * this.#height;
    this.#grid.scrollTop = Math.min(above, Math.max(this.#grid.scrollTop, above - room));
    this.select(row);
    this.dirty();
  }
}
