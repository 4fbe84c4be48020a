// docs/asyncapi.yaml as a judge: which message of it a text is, and what of it was never seen.
//
// Marks go down into the schemas: each property, each word of an enumeration and each branch counts, so that nothing there is made up.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";

import asyncapi from "@asyncapi/parser";
import Ajv from "ajv";

import { root } from "./harness.mjs";

const ERROR = 0;
const WARNING = 1;

export class Description {
  static async read() {
    const text = readFileSync(path.join(root, "docs/asyncapi.yaml"), "utf8");
    const { document, diagnostics } = await new asyncapi.Parser().parse(text);
    assert.deepEqual(diagnostics.filter(({ severity }) => severity === ERROR || severity === WARNING), []);
    return new Description(document);
  }

  constructor(document) {
    this.document = document;
    // The parser has judged the form; it leaves notes of its own.
    this.ajv = new Ajv({ strict: true, strictTypes: false, strictRequired: false, keywords: ["x-parser-schema-id"] });
    this.validators = new Map();
    /** What may be seen, and was: by channel and direction, then by place. */
    this.places = new Map();
    for (const operation of document.operations()) {
      const [channel] = operation.channels().all();
      const direction = operation.action() === "send" ? "<" : ">";
      this.#expect(channel.id(), direction, operation.messages().all());
      this.#expect(channel.id(), "<", operation.reply()?.messages().all() ?? []);
    }
  }

  #expect(channel, direction, messages) {
    for (const message of messages) {
      const schema = message.payload().json();
      const place = `${channel} ${direction} ${message.id()}`;
      this.places.set(place, { channel, direction, name: message.id(), schema, seen: new Set() });
    }
  }

  /** The messages of a channel that a value is, one of them if all is well. */
  matches(channel, direction, value) {
    const there = [...this.places.values()].filter((place) => place.channel === channel && place.direction === direction);
    return there.filter(({ schema }) => this.#fits(schema, value));
  }

  /** Notes a message that was seen; its name. */
  note(channel, direction, value) {
    const matches = this.matches(channel, direction, value);
    const names = matches.map(({ name }) => name).join(" and ");
    assert.equal(matches.length, 1, `${channel} ${direction} is ${names || "nothing described"}: ${JSON.stringify(value)?.slice(0, 500)}`);
    const [{ name, schema, seen }] = matches;
    this.#walk(schema, value, "", seen);
    return name;
  }

  /** What stands there and was never seen. */
  unseen() {
    return [...this.places].flatMap(([place, { schema, seen }]) =>
      [...all(schema, "")].filter((what) => !seen.has(what)).map((what) => `${place}${what}`));
  }

  #fits(schema, value) {
    if (!this.validators.has(schema)) this.validators.set(schema, this.ajv.compile(schema));
    return this.validators.get(schema)(value);
  }

  #walk(schema, value, at, seen) {
    seen.add(at);
    for (const word of words(schema)) if (word === value) seen.add(`${at} = ${word}`);
    for (const [key, inner] of Object.entries(schema.properties ?? {})) {
      if (value !== null && typeof value === "object" && key in value) this.#walk(inner, value[key], `${at}.${key}`, seen);
    }
    if (Array.isArray(value) && schema.items) value.forEach((item) => this.#walk(schema.items, item, `${at}[]`, seen));
    for (const branch of schema.oneOf ?? []) {
      // A branch may leave to the whole what is said of both.
      if (this.#fits(branch, value)) this.#walk(branch, value, `${at} (${branch.title})`, seen);
    }
  }

  /** Whether a text, as it stands in an example, is of one of a channel's messages in a direction. */
  examples() {
    return [...this.places.values()].flatMap(({ channel, direction, name }) => {
      const message = this.document.channels().get(channel).messages().get(name);
      return message.examples().all().map((example) => ({ channel, direction, name, payload: example.payload() }));
    });
  }
}

function words(schema) {
  return schema.enum ?? (schema.type === "boolean" ? [true, false] : []);
}

/** Every place within a schema that a message may make use of. */
function* all(schema, at) {
  yield at;
  for (const word of words(schema)) yield `${at} = ${word}`;
  for (const [key, inner] of Object.entries(schema.properties ?? {})) yield* all(inner, `${at}.${key}`);
  if (schema.items) yield* all(schema.items, `${at}[]`);
  for (const branch of schema.oneOf ?? []) yield* all(branch, `${at} (${branch.title})`);
}
