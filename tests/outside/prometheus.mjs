// A Prometheus of a test's own, on a free port and in a folder that goes with it.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { Process, root, within } from "./harness.mjs";

/** So often are scrapes and rules due. */
export const EVERY_MS = 500;

export const RULES = path.join(root, "docs/alerts.yml");

export class Prometheus {
  /** Scrapes `target` as the job `tapecast` and evaluates our rules. */
  static async start(target) {
    const prometheus = new Prometheus();
    prometheus.folder = mkdtempSync(path.join(os.tmpdir(), "tapecast-prometheus-"));
    const file = path.join(prometheus.folder, "prometheus.json");
    // JSON is YAML.
    const config = {
      global: { scrape_interval: `${EVERY_MS}ms`, scrape_timeout: `${EVERY_MS}ms`, evaluation_interval: `${EVERY_MS}ms` },
      rule_files: [RULES],
      scrape_configs: [{ job_name: "tapecast", static_configs: [{ targets: [target] }] }],
    };
    writeFileSync(file, JSON.stringify(config));
    const storage = path.join(prometheus.folder, "data");
    const args = [`--config.file=${file}`, `--storage.tsdb.path=${storage}`, "--web.listen-address=127.0.0.1:0"];
    // What it logs goes to stderr; the harness reads lines from stdout.
    prometheus.process = new Process("sh", ["-c", 'exec prometheus "$@" 2>&1', "prometheus", ...args]);
    const listens = prometheus.process.line((line) => line.match(/msg="Listening on" address=(\S+)/)?.[1]);
    const ready = prometheus.process.line((line) => line.includes("Server is ready to receive web requests"));
    try {
      [prometheus.at] = await Promise.all([listens, ready]);
    } catch (error) {
      await prometheus.stop();
      throw error;
    }
    return prometheus;
  }

  /** The data of an API call. */
  async get(call, parameters = {}) {
    const url = `http://${this.at}/api/v1/${call}?${new URLSearchParams(parameters)}`;
    const answer = await (await within(fetch(url), `Prometheus' answer to ${call}`)).json();
    if (answer.status !== "success") throw new Error(`${parameters.query ?? call}: ${answer.error}`);
    return answer.data;
  }

  /** The samples of an expression now: `[{metric, value}]`. */
  async query(query) {
    const { result } = await this.get("query", { query });
    return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }

  /** All alert rules by their names, with their states. */
  async alerts() {
    const { groups } = await this.get("rules", { type: "alert" });
    return new Map(groups.flatMap((group) => group.rules).map((rule) => [rule.name, rule]));
  }

  async stop() {
    await this.process.stop();
    rmSync(this.folder, { recursive: true });
  }
}
