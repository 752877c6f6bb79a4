"""A client of one server: what it sends, whether it is answered rightly, and how soon.

Once all nets have been answered it prints a line of JSON: by net the request that it sends, so that a load generator
can send the same. Then, for a line of standard input with a NET alone, it looks at one more answer and prints "{}";
with a number of SECONDS behind it, it sends one request after the other for so long and prints {"p50_us"}.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

_WARM_UP = 20
#: All compute with float32, each with the kernels of its own release.
_TOLERANCE = 1e-3


def run(asking, arguments, begin=lambda: None):
    """Asks until input ends. `arguments` are FOLDER NET:SHAPE...; FOLDER/NET.scores has what a right answer says.

    `asking` gives, for a net's name and a record, the request ("url", "http" 1 or 2, "headers", maybe "socket"), its
    body, and what sends it and returns the scores and the length of the answer's body. `begin` is called after a pause:
    a server may have hung up.
    """
    folder, *nets = arguments
    asks, right, requests = {}, {}, {}
    for net in nets:
        name, _, shape = net.partition(":")
        size = [int(side) for side in shape.split("x")]
        request, body, asks[name] = asking(name, np.random.default_rng(0).normal(size=size).astype(np.float32))
        right[name] = np.fromfile(Path(folder, f"{name}.scores"), np.float32)
        for _ in range(_WARM_UP):
            answer_bytes = _asked(asks[name], right[name])
        written = Path(folder, f"{os.getpid()}-{name}.body")
        written.write_bytes(body)
        requests[name] = {**request, "body": str(written), "answer_bytes": answer_bytes}
    print(json.dumps(requests), flush=True)
    for line in sys.stdin:
        name, *seconds = line.split()
        begin()
        _asked(asks[name], right[name])
        print(json.dumps(_timed(asks[name], float(seconds[0])) if seconds else {}), flush=True)


def _asked(ask, right):
    scores, answer_bytes = ask()
    assert np.allclose(scores, right, _TOLERANCE, _TOLERANCE), f"the scores are {right}, and it says {scores}"
    return answer_bytes


def _timed(ask, seconds):
    took = []
    end = time.perf_counter() + seconds
    while (before := time.perf_counter()) < end:
        ask()
        took.append(time.perf_counter() - before)
    took.sort()
    return {"p50_us": took[len(took) // 2] * 1e6}
