"""What a client counts. Arguments: MODE ("latency" or "rate"), SECONDS, and START, a Unix time to begin at.

Prints one line of JSON: {"p50_us", "p99_us", "count", "seconds"}.
"""

import json
import sys
import time

_WARM_UP = 20


def run(ask):
    """Calls `ask`, which sends one request and checks its answer, as often as the time allows."""
    mode, seconds, start = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    for _ in range(_WARM_UP if mode == "latency" else 2):
        ask()
    while (left := start - time.time()) > 0:
        time.sleep(left)
    took = []
    began = time.perf_counter()
    end = began + seconds
    while (before := time.perf_counter()) < end:
        ask()
        took.append(time.perf_counter() - before)
    total = time.perf_counter() - began
    took.sort()
    print(
        json.dumps(
            {
                "p50_us": took[len(took) // 2] * 1e6,
                "p99_us": took[min(len(took) - 1, len(took) * 99 // 100)] * 1e6,
                "count": len(took),
                "seconds": total,
            }
        )
    )
