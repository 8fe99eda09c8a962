"""pool.py KIND WORKERS N [threads]: what pool.lua does, with Python's pools."""

import sys
import time
from multiprocessing import Pool, set_start_method
from multiprocessing.pool import ThreadPool


def target(x):
    return x


def run_async(pool, n):
    results = [pool.apply_async(target, (i,)) for i in range(n)]
    for result in results:
        result.get()


def turns(pool, n):
    for i in range(n):
        pool.apply_async(target, (i,)).get()


def map1(pool, n):
    pool.map(target, range(n), 1)


def map_default(pool, n):
    pool.map(target, range(n))


def unordered(pool, n):
    assert sum(1 for _ in pool.imap_unordered(target, range(n))) == n


def make(new, workers, n):
    for _ in range(n):
        pool = new(workers)
        pool.close()
        pool.join()


set_start_method("fork")
kind, workers, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
new = ThreadPool if sys.argv[4:] == ["threads"] else Pool
kinds = {"async": run_async, "turns": turns, "map1": map1, "map": map_default,
         "unordered": unordered}
if kind == "make":
    begin = time.monotonic()
    make(new, workers, n)
    print(time.monotonic() - begin)
else:
    pool = new(workers)
    pool.map(target, range(4), 1)
    begin = time.monotonic()
    kinds[kind](pool, n)
    print(time.monotonic() - begin)
    pool.terminate()
