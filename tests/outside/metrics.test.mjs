// docs/metrics.md against the page of a real server, in both directions, and that page against promtool's lints.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";

import { root, Server } from "./harness.mjs";

let page;
let server;

before(async () => {
  server = await Server.start();
  page = await (await fetch(`http://${server.at.admin}/metrics`)).text();
});

after(() => server.stop());

const table = readFileSync(path.join(root, "docs/metrics.md"), "utf8");

/** The cells of the rows below a heading row that begins with `name`. */
function rows(name) {
  const lines = table.split("\n");
  const first = lines.findIndex((line) => line.startsWith(`| ${name} |`));
  assert.notEqual(first, -1, `docs/metrics.md has no table of ${name}`);
  const below = lines.slice(first + 2);
  const end = below.findIndex((line) => !line.startsWith("|"));
  return below.slice(0, end === -1 ? undefined : end).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

const bare = (cell) => cell.replace(/^`|`$/g, "");

/** What a page says of its metrics, each as a row `[name, type, labels, help]`, and the values of each label. */
function read(page) {
  const metrics = new Map();
  const values = new Map();
  let name;
  for (const line of page.split("\n")) {
    const [, keyword, of, rest] = line.match(/^# (HELP|TYPE) (\S+) (.*)$/) ?? [];
    if (keyword === "HELP") metrics.set((name = of), { help: rest, labels: new Set() });
    else if (keyword === "TYPE") metrics.get(of).type = rest;
    else if (!line.startsWith("#")) {
      for (const [, label, value] of line.matchAll(/(\w+)="([^"]*)"/g)) {
        if (label === "le") continue;
        metrics.get(name).labels.add(label);
        values.set(label, (values.get(label) ?? new Set()).add(value));
      }
    }
  }
  const rows = [...metrics].map(([name, { type, labels, help }]) => {
    return [type === "counter" ? `${name}_total` : name, type, [...labels].join(", "), help];
  });
  return { rows, values };
}

test("each metric has its row, and each row its metric", () => {
  const written = rows("name").map(([name, type, labels, unit, meaning]) => {
    assert.notEqual(unit, "", `${name} has no unit`);
    return [bare(name), type, labels, meaning];
  });
  assert(written.length > 60);
  assert.deepEqual(written.sort(), read(page).rows.sort());
});

test("each value of a label has its row, and each row its value", () => {
  const { values } = read(page);
  const written = rows("label").map(([label, value]) => `${label} ${bare(value)}`);
  const said = ["reason", "code", "limit"].flatMap((label) => [...values.get(label)].map((value) => `${label} ${value}`));
  assert.deepEqual(written.sort(), said.sort());
  const others = [...values.keys()].filter((label) => !["reason", "code", "limit"].includes(label));
  for (const label of others) assert(table.includes(`\`${label}\``), `docs/metrics.md does not say what ${label} is`);
});

test("promtool finds nothing to mend", () => {
  // promtool lints the older text format, in which a counter is described with its `_total`.
  const counters = new Set([...page.matchAll(/^# TYPE (\S+) counter$/gm)].map(([, name]) => name));
  const older = page.replaceAll(/^(# (?:HELP|TYPE)) (\S+)/gm, (line, keyword, name) => (counters.has(name) ? `${line}_total` : line));
  const { status, stdout, stderr, error } = spawnSync("promtool", ["check", "metrics"], { input: older, encoding: "utf8" });
  assert.deepEqual([error, status, stdout, stderr], [undefined, 0, "", ""]);
});
