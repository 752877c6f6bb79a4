"""What an update survives: a fault at every one of its system calls, 10,000 crash images, and power cuts.

The device is real: its updater, its files, HTTP, ONNX Runtime. After each fault it has to come up without a network
with a release that it has proven and verified, no older than what it had said to run, and then get where a new order
sends it. The crash images are of a real ext4 on a disk that writes down its writes and flushes: all that was flushed
is there, and any part of the rest. Whether this finds anything is shown by three bugs that are planted. Needs root
(mounts, /dev/fuse, loop devices), e2fsprogs and x86-64.

`--quick` takes a sample of everything, for a look.
"""

import argparse
import itertools
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, report
from tests.fakes.faults.planted import PLANTED
from tests.fakes.faults.programs import said, violations

FAULTS = ("SIGKILL", "EIO", "ENOSPC")
#: Each of six ways to mount the file system, without a bad block and with one.
RECORDINGS = 12
IMAGES = 10_000
CUTS = 300
#: Most of a fault's time is spent waiting for another try.
WORKERS = 6
_PROCESSES = 2
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Found:
    """What one run of a program of `tests.fakes.faults` has said, added up."""

    counts: dict[str, int]
    violations: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures; 0 when every promise is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.update_faults", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick: bool = parser.parse_args(arguments).quick
    if os.geteuid() != 0:
        print("Crash images are mounted: run `sudo python -m benchmarks.update_faults`.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        folder = Path(name)
        struck = _swept(folder / "matrix", ["--sample", "60"] if quick else [])
        images = 300 if quick else IMAGES
        crashed = _crashed(folder / "images", images, 30 if quick else CUTS)
        caught = [name for name in PLANTED if _caught(folder / "planted" / name, name)]
    hit = struck.counts["cases"] - struck.counts["not reached"] - struck.counts["not there"]
    wanted = (struck.counts["cases"] if quick else struck.counts["points"] * len(FAULTS)) - struck.counts["not there"]
    for violation in (*struck.violations, *crashed.violations):
        print(violation, file=sys.stderr)
    return report(
        [
            Figure("system calls of an update, each with 3 faults", hit, wanted, "faults", at_least=True),
            Figure("... laws broken", len(struck.violations), 0, "faults"),
            Figure("crash images, none twice", crashed.counts["images"], images, "images", at_least=True),
            Figure("power cuts", crashed.counts["cuts"], 30 if quick else CUTS, "cuts", at_least=True),
            Figure("... laws broken", len(crashed.violations), 0, "images"),
            Figure(f"planted bugs caught ({', '.join(caught)})", len(caught), len(PLANTED), "bugs", at_least=True),
        ]
    )


def _swept(folder: Path, more: Sequence[str]) -> Found:
    answer = said("sweep", folder, "--workers", str(WORKERS), *more)
    counts = {"points": answer["points"], "cases": answer["cases"]}
    for missed in ("not reached", "not there"):
        counts[missed] = sum(count for ended, count in answer["ended"].items() if ended.endswith(missed))
    if counts["not there"]:
        print(f"{counts['not there']} faults are of calls that not every update makes", file=sys.stderr)
    return Found(counts, violations(answer))


def _crashed(folder: Path, images: int, cuts: int) -> Found:
    """Recordings in turn to as many processes as there are cores, until there are images enough: a short recording has
    fewer that differ."""
    share = -(-images // RECORDINGS)
    seeds = itertools.count()
    answers: list[Any] = []
    with ThreadPoolExecutor(_PROCESSES) as pool:
        cut = pool.submit(said, "crashes", folder / "cuts", "--cuts", *(str(seed) for seed in range(cuts)))
        while sum(one["images"] for one in answers) < images:
            left = images - sum(one["images"] for one in answers)
            runs = [
                pool.submit(said, "crashes", folder / str(seed), "--recordings", str(seed), "--images", str(share))
                for seed in itertools.islice(seeds, -(-left // share))
            ]
            answers += [run.result() for run in runs]
        answers.append(cut.result())
    counts = {what: sum(one[what] for one in answers) for what in ("images", "cuts")}
    return Found(counts, tuple(text for one in answers for text in violations(one)))


def _caught(folder: Path, name: str) -> bool:
    """Whether the same search that is run on the product finds the planted bug."""
    planted = ("--disk", name, "--stop-after", "1")
    struck = said("sweep", folder / "matrix", "--faults", "SIGKILL", "--changing", *planted)
    found = violations(struck)
    if not found:
        seeds = (str(seed) for seed in range(RECORDINGS))
        found = violations(said("crashes", folder / "images", "--recordings", *seeds, "--images", "100", *planted))
    print(f"planted: {name}: {found[0][:240] if found else 'not found'}", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
