// README against the repository: its tour is walked, its page is the example, and what it points to is there. Takes about three seconds.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { root } from "./harness.mjs";
import { blocks, play } from "./transcript.mjs";

const read = (file) => readFileSync(path.join(root, file), "utf8");
const README = read("README.md");

test("the tour is as it says", async () => {
  const tour = blocks(README);
  assert.ok(tour.length > 0);
  for (const block of tour) await play(block);
});

test("the page of ten lines is the example", () => {
  const [, script] = /<script type="module">\n([^]*?)<\/script>/.exec(read("examples/subscribe.html"));
  assert.ok(README.includes(`\`\`\`js\n${script.replace(/^ {2}/gm, "")}\`\`\``), "README shows another script than examples/subscribe.html");
});

test("what the documents point to is there", () => {
  for (const document of ["README.md", "docs/protocol.md"]) {
    const links = [...read(document).matchAll(/\]\(([^)#]+)\)/g)].map(([, link]) => link);
    const missing = links.filter((link) => !/^https?:/.test(link) && !existsSync(path.join(root, path.dirname(document), link)));
    assert.deepEqual(missing, [], document);
  }
});
