// What the peers that come from npm share: their arguments, and the ingest's line protocol
// (`<channel> <payload>\n`; `PING` is answered by `+PONG <accepted>`).
//
// A chunk becomes one Latin-1 string, which is its cheapest way; the load test's records are ASCII.

/** The address behind `flag`, of 127.0.0.1 and any port where it is not given. */
export function address(flag) {
  const at = process.argv.indexOf(flag);
  const [hostname, port] = (at < 0 ? "127.0.0.1:0" : process.argv[at + 1]).split(":");
  return { hostname, port: Number(port) };
}

/** Says where a listener is, as the load test reads it. */
export function listening(role, hostname, port) {
  console.log(`listening ${role} ${hostname}:${port}`);
}

/** One feed's lines: each record is handed to `publish(channel, payload)`, each answer to `answer(line)`. */
export class Lines {
  constructor(publish, answer) {
    this.publish = publish;
    this.answer = answer;
    this.rest = "";
    this.accepted = 0;
  }

  /** Takes what a socket brought, a Buffer; a line that is cut waits for its end. */
  take(chunk) {
    const text = this.rest + chunk.latin1Slice();
    let start = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      const space = text.indexOf(" ", start);
      if (space >= 0 && space < end) {
        this.accepted += 1;
        this.publish(text.slice(start, space), text.slice(space + 1, end));
      } else if (text.slice(start, end) === "PING") {
        this.answer(`+PONG ${this.accepted}\n`);
      }
      start = end + 1;
    }
    this.rest = text.slice(start);
  }
}
