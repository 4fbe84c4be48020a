#!/usr/bin/env python3
"""A feed of one's own: publishes made-up trades and tickers. Python's standard library is all that it needs.

    python3 examples/feed.py [HOST:PORT] [RECORDS]      127.0.0.1:9002, until Ctrl-C

TAPECAST_INGEST_TOKEN holds the ingest's token, where it wants one. Keep `connect`, `publish` and `main`; replace `market`.
"""

import itertools
import json
import os
import random
import socket
import sys
import time

BATCH = 20  # records a write: the larger, the cheaper; the last of them waits for the first


def market():
    """Made-up records, a line each: channel, `#` and the feed's own sequence in that channel, payload."""
    cents = {"btcusdt": 6_173_763, "ethusdt": 268_380}
    for number in itertools.count(1):
        for symbol in cents:
            cents[symbol] += random.randint(-50, 50)
            price = f"{cents[symbol] // 100}.{cents[symbol] % 100:02}"
            trade = {"e": "trade", "s": symbol.upper(), "t": number, "p": price, "q": "0.010"}
            ticker = {"e": "24hrTicker", "s": symbol.upper(), "c": price}
            yield f"{symbol}@trade#{number} {json.dumps(trade)}\n"
            yield f"{symbol}@ticker#{number} {json.dumps(ticker)}\n"


def connect(address, session):
    """The session keeps its name over reconnects: what is then published twice is taken once."""
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=15)
    feed = connection, connection.makefile("r", encoding="utf-8", newline="\n")
    token = os.environ.get("TAPECAST_INGEST_TOKEN")
    publish(feed, ([f"AUTH {token}\n"] if token else []) + [f"SESSION {session}\n"])
    return feed


def publish(feed, lines):
    """Sends a batch and waits for `+PONG`: by then each line was taken, or refused with an answer that says why."""
    connection, answers = feed
    connection.sendall("".join([*lines, "PING\n"]).encode())
    for answer in answers:
        if answer.startswith("+PONG "):
            return
        print("refused:", answer.strip(), file=sys.stderr)
    raise ConnectionError("the server closed the connection")


def reconnect(address, session):
    delay = 0.25
    while True:
        time.sleep(delay)
        try:
            return connect(address, session)
        except OSError as error:
            print(f"{address}: {error}", file=sys.stderr)
        delay = min(2 * delay, 15)


def main(address="127.0.0.1:9002", records=None):
    session = f"feed-{os.getpid()}-{time.time_ns()}"
    lines = itertools.islice(market(), int(records) if records else None)
    feed = connect(address, session)
    while batch := list(itertools.islice(lines, BATCH)):
        while True:
            try:
                publish(feed, batch)
                break
            except OSError as error:
                print(f"{address}: {error}; reconnecting", file=sys.stderr)
                feed = reconnect(address, session)
        time.sleep(0.1)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except (OSError, ValueError) as error:
        sys.exit(f"cannot feed: {error}; does a server listen for feeds there (tapecast serve)?")
