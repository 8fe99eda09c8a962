"""process.py KIND N: start and join N Processes.

KIND is "start", one after the other, or "many", all at once.
"""

import sys
import time
from multiprocessing import Process, set_start_method


def target():
    pass


set_start_method("fork")
begin = time.monotonic()
n = int(sys.argv[2])
batch = n if sys.argv[1] == "many" else 1
for _ in range(n // batch):
    ps = [Process(target=target) for _ in range(batch)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
print(time.monotonic() - begin)
