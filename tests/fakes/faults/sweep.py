"""`python -m tests.fakes.faults.sweep FOLDER`: the kill matrix, or a part of it; one line of JSON at the end.

A program, because what it forks must have one thread.
"""

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.blob_server import serving
from tests.fakes.faults.matrix import SCENARIOS, Matrix, Outcome, Scenario
from tests.fakes.faults.planted import PLANTED
from tests.fakes.faults.tracer import EIO, ENOSPC, KILL, Fault, Point, syscall_name
from tests.fakes.faults.watched import release

FAULTS = {one.name: one for one in (KILL, EIO, ENOSPC)}
#: The calls that change what is on a disk.
CHANGING = frozenset({"fsync", "ftruncate", "mkdir", "openat", "rename", "unlink", "write"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--disk", choices=PLANTED, help="with a bug planted")
    parser.add_argument("--changing", action="store_true", help="only calls that change what is on a disk")
    parser.add_argument("--sample", type=int, help="so many cases, chosen by the seed, instead of all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stop-after", type=int, default=20, help="violations")
    chosen = parser.parse_args()
    # What goes wrong is what this is about: only what comes of it is said.
    logging.disable(logging.CRITICAL)
    with _server() as url:
        matrix = Matrix(chosen.folder, url, PLANTED[chosen.disk]) if chosen.disk else Matrix(chosen.folder, url)
        matrix.prepare()
        points = [
            (scenario, point)
            for scenario in SCENARIOS.values()
            for point in matrix.points(scenario)
            if not chosen.changing or syscall_name(point.number) in CHANGING
        ]
        cases = [(*point, FAULTS[name]) for name in chosen.faults for point in points]
        random.Random(chosen.seed).shuffle(cases)
        cases = cases[: chosen.sample]
        ended: Counter[str] = Counter()
        violations = []
        for outcome in _outcomes(matrix, cases, chosen.workers):
            ended[f"{outcome.fault} {outcome.ended}"] += 1
            if outcome.broken is not None:
                violations.append({"recipe": f"{outcome}", "what": outcome.broken})
                sys.stderr.write(f"{violations[-1]['recipe']}: {outcome.broken}\n")
            if outcome.ended in {"not reached", "not there", "hung"}:
                sys.stderr.write(f"{outcome}: {outcome.ended}\n")
            if len(violations) == chosen.stop_after:
                break
    result = {"points": len(points), "cases": sum(ended.values()), "ended": ended, "violations": violations}
    sys.stdout.write(json.dumps(result) + "\n")


def _outcomes(matrix: Matrix, cases: list[tuple[Scenario, Point, Fault]], workers: int) -> Iterator[Outcome]:
    with multiprocessing.get_context("fork").Pool(workers, _begin, (matrix,)) as pool:
        yield from pool.imap_unordered(_strike, cases)


_matrix: Matrix


def _begin(matrix: Matrix) -> None:
    global _matrix
    _matrix = matrix


def _strike(case: tuple[Scenario, Point, Fault]) -> Outcome:
    return _matrix.strike(*case)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """The address of a blob server in a process of its own, with what updates fetch."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with serving(release(1).blobs | release(2).blobs) as server:
            os.write(write, f"{server.url}\n".encode())
            signal.pause()
        os._exit(0)
    try:
        with os.fdopen(read) as pipe:
            yield pipe.readline().strip()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
