"""roundtrip.py KIND N [threads]: two workers hand a turn to and fro N times.

The workers are processes, or threads with the objects of threads.
"""

import multiprocessing
import queue
import sys
import threading
import time
from multiprocessing import Value

multiprocessing.set_start_method("fork")
THREADS = sys.argv[3:] == ["threads"]
kind = threading if THREADS else multiprocessing
Condition, Event, Semaphore = kind.Condition, kind.Event, kind.Semaphore
Queue = queue.Queue if THREADS else multiprocessing.Queue
Worker = threading.Thread if THREADS else multiprocessing.Process


class ByQueue:
    def __init__(self):
        self.queues = [Queue(), Queue()]

    def give(self, side):
        self.queues[side].put(1)

    def take(self, side):
        self.queues[side].get()


class BySemaphore:
    def __init__(self):
        self.semaphores = [Semaphore(0), Semaphore(0)]

    def give(self, side):
        self.semaphores[side].release()

    def take(self, side):
        self.semaphores[side].acquire()


class ByEvent:
    def __init__(self):
        self.events = [Event(), Event()]

    def give(self, side):
        self.events[side].set()

    def take(self, side):
        self.events[side].wait()
        self.events[side].clear()


class ByCondition:
    def __init__(self):
        self.condition = Condition()
        self.turn = Value("i", -1, lock=False)

    def give(self, side):
        with self.condition:
            self.turn.value = side
            self.condition.notify()

    def take(self, side):
        with self.condition:
            while self.turn.value != side:
                self.condition.wait()
            self.turn.value = -1


def answer(by, n):
    for _ in range(n):
        by.take(0)
        by.give(1)


def ask(by, n):
    for _ in range(n):
        by.give(0)
        by.take(1)


def main(kind, n):
    by = {
        "queue": ByQueue,
        "semaphore": BySemaphore,
        "event": ByEvent,
        "condition": ByCondition,
    }[kind]()
    p = Worker(target=answer, args=(by, n + 1))
    p.start()
    ask(by, 1)
    begin = time.monotonic()
    ask(by, n)
    print(time.monotonic() - begin)
    p.join()


main(sys.argv[1], int(sys.argv[2]))
