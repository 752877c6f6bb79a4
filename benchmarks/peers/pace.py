"""What a client counts, as often as it is told to.

A line of standard input names a NET, how many SECONDS to ask for it, and from which Unix time on, START; a line of JSON
answers it: {"p50_us", "p99_us", "count", "seconds"}. Before the first, "ready" says that all nets have answered.
"""

import json
import sys
import time

import numpy as np

_WARM_UP = 20


def run(asking, nets, begin=lambda: None):
    """Asks until input ends. `asking` gives, for a net's name and a record, what sends one request and checks its
    answer; `nets` are "NAME:SHAPE". `begin` is called after a pause: a server may have hung up."""
    asks = {}
    for net in nets:
        name, _, shape = net.partition(":")
        size = [int(side) for side in shape.split("x")]
        asks[name] = asking(name, np.random.default_rng(0).normal(size=size).astype(np.float32))
        for _ in range(_WARM_UP):
            asks[name]()
    print("ready", flush=True)
    for line in sys.stdin:
        name, seconds, start = line.split()
        begin()
        asks[name]()
        while (left := float(start) - time.time()) > 0:
            time.sleep(left)
        print(json.dumps(_counted(asks[name], float(seconds))), flush=True)


def _counted(ask, seconds):
    took = []
    began = time.perf_counter()
    end = began + seconds
    while (before := time.perf_counter()) < end:
        ask()
        took.append(time.perf_counter() - before)
    total = time.perf_counter() - began
    took.sort()
    return {
        "p50_us": took[len(took) // 2] * 1e6,
        "p99_us": took[min(len(took) - 1, len(took) * 99 // 100)] * 1e6,
        "count": len(took),
        "seconds": total,
    }
