"""queues.py KIND PRODUCERS CONSUMERS N: N messages through a Queue.

The first consumer is the process that started the others. Of the big ones the
first few do not count.
"""

import os
import sys
import time
from multiprocessing import Process, Queue, set_start_method

VALUES = {
    "int": lambda: 7,
    "string": lambda: b"x" * 100,
    "table": lambda: {"id": 1, "name": "abc", "list": [1, 2, 3]},
    "big": lambda: b"x" * 1000000,
}


def warm(kind):
    return 16 if kind == "big" else 0


def produce(q, n, ready, gate, kind):
    value = VALUES[kind]()
    for _ in range(warm(kind)):
        q.put(value)
    ready.put(True)
    gate.get()
    for _ in range(n):
        q.put(value)


def consume(q, n, ready, gate, _):
    ready.put(True)
    gate.get()
    for _ in range(n):
        q.get()


def main(kind, producers, consumers, wanted):
    set_start_method("fork")
    share = producers * consumers
    n = (wanted + share - 1) // share * share
    # Of the big ones not all of a sample's should be in memory at once.
    q = Queue(8 if kind == "big" else 0)
    ready, gate = Queue(), Queue()
    roles = [(produce, n // producers)] * producers
    roles += [(consume, n // consumers)] * (consumers - 1)
    ps = [Process(target=f, args=(q, m, ready, gate, kind)) for f, m in roles]
    for p in ps:
        p.start()
    for _ in range(warm(kind)):
        q.get()
    for p in ps:
        ready.get()
    begin = time.monotonic()
    for p in ps:
        gate.put(True)
    for _ in range(n // consumers):
        q.get()
    if consumers > 1:
        for p in ps:
            p.join()
    print((time.monotonic() - begin) * wanted / n, flush=True)
    for p in ps:
        p.join()
    os._exit(0)


main(sys.argv[1], *map(int, sys.argv[2:]))
