// docs/alerts.yml by promtool: its form, and that each alert fires when it should and not otherwise; and its runbook.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { root } from "./harness.mjs";

const read = (file) => readFileSync(path.join(root, file), "utf8");
const rules = read("docs/alerts.yml");
const cases = read("tests/outside/alerts_test.yml");

/** Each alert with the text of its rule. */
const alerts = rules.split(/^ {6}- alert: /m).slice(1).map((text) => ({ name: text.split("\n", 1)[0], text }));

function promtool(...args) {
  const { status, stdout, stderr, error } = spawnSync("promtool", args, { cwd: root, encoding: "utf8" });
  assert.deepEqual([error, status], [undefined, 0], stdout + stderr);
}

test("promtool reads the rules, and each fires when it should and not otherwise", () => {
  promtool("check", "rules", "docs/alerts.yml");
  promtool("test", "rules", "tests/outside/alerts_test.yml");
});

test("each alert has its case, and what its texts name is in the labels that it fires with", () => {
  assert(alerts.length > 20);
  const tested = [...cases.matchAll(/^ {2}- name: (\w+)$/gm)].map(([, name]) => name);
  assert.deepEqual(tested, alerts.map(({ name }) => name));
  for (const { name, text } of alerts) {
    const [, fired] = cases.match(new RegExp(`exp_samples: .*ALERTS\\{(alertname="${name}",.*)\\}'`));
    assert.match(text, /severity: (critical|warning)/, name);
    for (const [, label] of text.matchAll(/\$labels\.(\w+)/g)) assert(fired.includes(`${label}="`), `${name} fires without ${label}`);
  }
});

test("the runbook has a row for each alert, in the same order", () => {
  const rows = [...read("docs/operations.md").matchAll(/^\| `(Tapecast\w+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(rows, alerts.map(({ name }) => name));
});
