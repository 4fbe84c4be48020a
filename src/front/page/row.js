// One line of the watch list: made once, shown for one row after the other as the list scrolls.
//
// Text goes in as the data of text nodes that stay, and only where it differs: no node comes or goes while prices move.

import { COLUMNS } from "./order.js";
import { compact, direction, percent, price } from "./numbers.js";
import { draw } from "./spark.js";

/** How long a price that moved is marked, and between two marks of a line. */
export const FLASH_MS = 400;

/** Characters that every column has room for; what is longer may be cut off. */
const FITTING = 10;

export class Line {
  row;
  /** The price line is older than the newest sample. */
  isSparkOld = false;
  #index = -1;
  #version = -1;
  #cells = {};
  #flashAt = 0;
  #isFlashing = false;
  #isSelected;
  #lastValue = NaN;

  constructor(id) {
    this.element = document.createElement("div");
    this.element.className = "line";
    this.element.setAttribute("role", "row");
    this.element.id = id;
    for (const { key } of COLUMNS) this.#cells[key] = this.#cell(key);
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.#cells.trend.cell.append(this.canvas);
    this.note = document.createElement("span");
    this.note.className = "note";
    this.#cells.symbol.cell.append(this.note);
  }

  #cell(key) {
    const cell = document.createElement("div");
    cell.setAttribute("role", key === "symbol" ? "rowheader" : "gridcell");
    cell.className = `cell ${key}`;
    const words = document.createElement("span");
    const node = document.createTextNode("");
    words.append(node);
    cell.append(words);
    this.element.append(cell);
    return { cell, node };
  }

  /** From now on it stands for `row`, at `index` of the list; `height` is a line's. */
  show(row, index, height) {
    if (this.#index !== index) {
      this.#index = index;
      this.element.style.transform = `translateY(${index * height}px)`;
      // The first is the line of the columns.
      this.element.setAttribute("aria-rowindex", index + 2);
    }
    if (this.row === row) return;
    this.release();
    this.row = row;
    row.visible = true;
    this.element.hidden = false;
    this.#version = -1;
    this.#lastValue = NaN;
    this.#unflash();
    this.isSparkOld = true;
  }

  /** It stands for nothing. */
  hide() {
    this.release();
    this.element.hidden = true;
  }

  release() {
    if (this.row) this.row.visible = false;
    this.row = undefined;
  }

  move(height) {
    this.element.style.transform = `translateY(${this.#index * height}px)`;
  }

  select(isSelected) {
    if (this.#isSelected === isSelected) return;
    this.#isSelected = isSelected;
    this.element.classList.toggle("selected", isSelected);
    this.element.setAttribute("aria-selected", isSelected);
  }

  /** Writes what changed since the last time; whether a price is marked, for a while yet. */
  paint(now) {
    if (this.#isFlashing && now - this.#flashAt >= FLASH_MS) this.#unflash();
    if (this.#version !== this.row.version) this.#writeRow(now);
    return this.#isFlashing;
  }

  #writeRow(now) {
    const row = this.row;
    this.#version = row.version;
    this.#write("symbol", row.name);
    this.#write("last", price(row.last, row.places));
    this.#write("change", percent(row.changeValue));
    this.#write("bid", price(row.bid, row.places));
    this.#write("ask", price(row.ask, row.places));
    this.#write("turnover", compact(row.turnoverValue));
    this.#cells.change.cell.dataset.way = direction(row.changeValue);
    this.element.classList.toggle("stale", row.isStale);
    const note = row.isStale ? "stale" : "";
    if (this.note.textContent !== note) this.note.textContent = note;
    this.#flash(row, now);
  }

  /** Not by an animation: thirty of them would have the browser draw each frame, also where nothing came. */
  #flash(row, now) {
    const before = this.#lastValue;
    this.#lastValue = row.lastValue;
    if (row.lastValue === before || Number.isNaN(before) || this.#isFlashing) return;
    this.#flashAt = now;
    this.#isFlashing = true;
    this.#cells.last.cell.dataset.flash = row.lastValue > before ? "up" : "down";
  }

  #unflash() {
    this.#isFlashing = false;
    delete this.#cells.last.cell.dataset.flash;
  }

  spark(market) {
    this.isSparkOld = false;
    draw(this.canvas, market, this.row);
    this.#write("trend", percent(this.row.trend));
    this.#cells.trend.cell.dataset.way = direction(this.row.trend);
  }

  #write(key, words) {
    const { cell, node } = this.#cells[key];
    if (node.data === words) return;
    node.data = words;
    const isLong = words.length > FITTING;
    if (isLong !== cell.classList.contains("long")) cell.classList.toggle("long", isLong);
  }
}
