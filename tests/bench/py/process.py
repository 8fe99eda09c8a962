"""process.py N: start and join N Processes, one after the other."""

import sys
import time
from multiprocessing import Process, set_start_method


def target():
    pass


set_start_method("fork")
begin = time.monotonic()
for _ in range(int(sys.argv[1])):
    p = Process(target=target)
    p.start()
    p.join()
print(time.monotonic() - begin)
