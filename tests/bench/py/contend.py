"""contend.py WHAT WHERE WORKERS N: what contend.lua does."""

import multiprocessing
import sys
import threading
import time

multiprocessing.set_start_method("fork")


def change(lock, share):
    for _ in range(share):
        lock.acquire()
        lock.release()
    return 0


def hold(lock, share):
    for _ in range(share):
        lock.acquire()
        finish = time.monotonic() + 200e-6
        while time.monotonic() < finish:
            pass
        lock.release()
    return 0


def change_and_look(lock, share):
    worst = 0
    for _ in range(share):
        begin = time.monotonic()
        lock.acquire()
        worst = max(worst, time.monotonic() - begin)
        lock.release()
    return worst


def main(what, where, workers, n):
    threads = where == "threads"
    kind = threading if threads else multiprocessing
    lock, gate = kind.Lock(), kind.Event()
    ready, worsts = kind.Semaphore(0), multiprocessing.SimpleQueue()
    share = (n + workers - 1) // workers
    run = {"time": change, "held": hold, "worst": change_and_look}[what]

    def work():
        ready.release()
        gate.wait()
        worsts.put(run(lock, share))

    worker = threading.Thread if threads else multiprocessing.Process
    ws = [worker(target=work) for _ in range(workers)]
    for w in ws:
        w.start()
    for w in ws:
        ready.acquire()
    begin = time.monotonic()
    gate.set()
    for w in ws:
        w.join()
    seconds = (time.monotonic() - begin) * n / (share * workers)
    worst = max(worsts.get() for w in ws)
    print(worst if what == "worst" else seconds)


main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
