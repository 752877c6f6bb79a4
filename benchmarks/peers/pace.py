"""A client of one server: what it sends, whether it is answered rightly, and how soon.

Once all nets have been answered it prints a line of JSON: by net the request that it sends, so that a load generator
can send the same. Then it does what a line of standard input says, and prints a line of JSON:

NET                 looks at one more answer, and prints {}
NET SECONDS         sends one request after the other for so long, and prints {"p50_us"}
NET SECONDS beside  runs the bare net and sends requests in turn, some at a time, and prints {"bare_us", "over_us"}:
                    medians of what bare takes, and of how much longer requests take than the runs next to them
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

_WARM_UP = 20
#: One request after the other, as for the latency of the others: the first, which meet a server that sleeps, are few.
#: And no longer than a machine stays as it is.
_IN_TURN = 10
#: All compute with float32, each with the kernels of its own release.
_TOLERANCE = 1e-3


def run(asking, arguments, begin=lambda: None, bare=None):
    """Asks until input ends. `arguments` are FOLDER NET:SHAPE...; FOLDER/NET.scores has what a right answer says.

    `asking` gives, for a net's name and a record, the request ("url", "http" 1 or 2, "headers", maybe "socket"), its
    body, and what sends it and returns the scores and the length of the answer's body. `begin` is called after a pause:
    a server may have hung up. `bare` gives what runs a net on a record in this process.
    """
    folder, *nets = arguments
    asks, bares, right, requests = {}, {}, {}, {}
    for net in nets:
        name, _, shape = net.partition(":")
        size = [int(side) for side in shape.split("x")]
        record = np.random.default_rng(0).normal(size=size).astype(np.float32)
        request, body, asks[name] = asking(name, record)
        bares[name] = bare and bare(name, record)
        right[name] = np.fromfile(Path(folder, f"{name}.scores"), np.float32)
        for _ in range(_WARM_UP):
            answer_bytes = _asked(asks[name], right[name])
        written = Path(folder, f"{os.getpid()}-{name}.body")
        written.write_bytes(body)
        requests[name] = {**request, "body": str(written), "answer_bytes": answer_bytes}
    print(json.dumps(requests), flush=True)
    for line in sys.stdin:
        name, *more = line.split()
        begin()
        _asked(asks[name], right[name])
        match more:
            case []:
                found = {}
            case [seconds]:
                found = _timed(asks[name], float(seconds))
            case [seconds, "beside"]:
                found = _compared(asks[name], bares[name], float(seconds))
        print(json.dumps(found), flush=True)


def _asked(ask, right):
    scores, answer_bytes = ask()
    assert np.allclose(scores, right, _TOLERANCE, _TOLERANCE), f"the scores are {right}, and it says {scores}"
    return answer_bytes


def _timed(ask, seconds):
    took = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        took.append(_once(ask))
    return {"p50_us": statistics.median(took) * 1e6}


def _compared(ask, bare, seconds):
    alone, over = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        # Whichever goes first in turn: what one leaves in the caches meets both alike.
        if len(over) % 2:
            requests, runs = _several(ask), _several(bare)
        else:
            runs, requests = _several(bare), _several(ask)
        alone.append(runs)
        over.append(requests - runs)
    return {"bare_us": statistics.median(alone) * 1e6, "over_us": statistics.median(over) * 1e6}


def _several(call):
    return statistics.median(_once(call) for _ in range(_IN_TURN))


def _once(call):
    before = time.perf_counter()
    call()
    return time.perf_counter() - before
