"""threads.py KIND [N]: what thread.lua and late.lua do."""

import subprocess
import sys
import time
from threading import Event, Lock, Semaphore, Thread

TIMES = 500
balance = 0
lock = Lock()


def target():
    pass


def start(n):
    for _ in range(n):
        t = Thread(target=target)
        t.start()
        t.join()


def count(n):
    c = 0
    for _ in range(n):
        c = c + 1


def run_all(threads):
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def together(n):
    run_all([Thread(target=count, args=(n // 4,)) for _ in range(4)])


def alone(n):
    run_all([Thread(target=count, args=(n,))])


def change(n, times):
    global balance
    for _ in range(times):
        lock.acquire()
        balance = balance + n
        balance = balance - n
        lock.release()


def lock_loop(n):
    run_all([Thread(target=change, args=(m, n)) for m in (5, 8)])
    assert balance == 0


def resident():
    with open("/proc/self/status") as f:
        parts = [line.split() for line in f]
    return sum(int(p[1]) for p in parts if p[0] in ("RssAnon:", "RssShmem:"))


def memory(n):
    go, ready = Event(), Semaphore(0)

    def wait_for_go():
        ready.release()
        go.wait()

    before = resident()
    threads = [Thread(target=wait_for_go) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        ready.acquire()
    each = (resident() - before) / n
    go.set()
    for t in threads:
        t.join()
    return each


def beside_spinner(measure):
    stopped = False

    def spin():
        n = 0
        while not stopped:
            n = n + 1

    spinner = Thread(target=spin)
    spinner.start()
    late = measure()
    stopped = True
    spinner.join()
    assert len(late) == TIMES
    return sorted(late)[TIMES * 99 // 100 - 1]


def sleep():
    late = []
    for _ in range(TIMES):
        begin = time.monotonic()
        time.sleep(1e-3)
        late.append(time.monotonic() - begin - 1e-3)
    return late


def pipe():
    command = [sys.executable, __file__, "write"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as p:
        return [time.monotonic() - float(line) for line in p.stdout]


def write():
    for _ in range(TIMES):
        time.sleep(2e-3)
        print("%.9f" % time.monotonic(), flush=True)


def main(kind, *numbers):
    if kind in ("sleep", "pipe"):
        print(beside_spinner({"sleep": sleep, "pipe": pipe}[kind]))
        return
    if kind == "write":
        write()
        return
    run = {"start": start, "together": together, "alone": alone,
           "lock": lock_loop, "memory": memory}[kind]
    begin = time.monotonic()
    figure = run(*map(int, numbers))
    print(time.monotonic() - begin if figure is None else figure)


main(*sys.argv[1:])
