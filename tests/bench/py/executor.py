"""executor.py KIND WORKERS N: what pool.lua does, with ProcessPoolExecutor."""

import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor


def target(x):
    return x


def run_async(pool, n):
    for future in [pool.submit(target, i) for i in range(n)]:
        future.result()


def map1(pool, n):
    for _ in pool.map(target, range(n)):
        pass


def main(kind, workers, n):
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        list(pool.map(target, range(4)))
        begin = time.monotonic()
        {"async": run_async, "map1": map1}[kind](pool, n)
        print(time.monotonic() - begin)


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
