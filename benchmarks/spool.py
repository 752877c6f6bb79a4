"""Thirty days without a network, on disk: how many bytes they take, what it costs to keep them, and to hand them over.

One model's windows of ten seconds, 259,200 of them, ten records a second, are real digits (see `benchmarks.windows`).
The anchors: the same windows as the log keeps them for the moment, in MessagePack; a bare write and sync of the same
bytes; the files read at one go. While the spool is filled for its size nothing is synced, which changes no byte.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import msgspec

from benchmarks.figure import Figure, report
from benchmarks.windows import Digits
from edge_agent.telemetry.log import packed_bytes
from edge_agent.telemetry.spool import Spool
from edge_agent.uplink import BATCH_BYTES
from fleet_contract.telemetry import Batch, encode_batch

DAYS = 30
WINDOWS = DAYS * 8640
RECORDS = 100
QUOTA_BYTES = 64 * 1024 * 1024
OWNER = "default.gateway"
MEGABYTE = 1e6


def main() -> int:
    """Prints the figures; 0 when every promise is kept."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digits = Digits()
        raw_bytes, kept = _fill(digits, folder / "month")
        drained = json.loads(_child(folder / "month"))
        cost, anchor = _append(digits, folder)
        lost = _overflow(digits, folder / "small")
    return report(
        [
            Figure("30 days of windows on disk", kept / MEGABYTE, 64, "MB", raw_bytes / MEGABYTE),
            Figure("... of which dropped", drained["dropped"], 0, "windows"),
            Figure("opening them at a start", drained["open"], 1.0, "s", drained["read"]),
            Figure("handed over, read to encoded", drained["rate"], 2_000, "windows/s", at_least=True),
            Figure("... and lost on the way", WINDOWS - drained["windows"], 0, "windows"),
            Figure("... memory that took, at its peak", drained["memory"], 8, "MB"),
            Figure("keeping a window, synced, over a bare write", cost / anchor, 2.0, "x", 1.0),
            Figure("miscounted when it had to drop most of it", lost, 0, "windows"),
        ]
    )


def _fill(digits: Digits, folder: Path) -> tuple[int, int]:
    """Bytes of the windows as a log has them, and what the spool takes."""
    spool, encoder, raw_bytes = Spool(folder, OWNER, "b1", QUOTA_BYTES), msgspec.msgpack.Encoder(), 0
    with mock.patch("os.fdatasync"), mock.patch("os.fsync"):
        for window in digits.windows(WINDOWS, RECORDS):
            assert spool.append(window)
            raw_bytes += packed_bytes(encoder.encode(window))
    spool.close()
    return raw_bytes, sum(path.stat().st_size for path in folder.rglob("*.*"))


def _append(digits: Digits, folder: Path) -> tuple[float, float]:
    """Median seconds of keeping a window, and of writing and syncing as many bytes; in turns, for the disk's mood."""
    spool, encoder = Spool(folder / "append", OWNER, "b1", QUOTA_BYTES), msgspec.msgpack.Encoder()
    ours, bare = [], []
    with (folder / "bare").open("ab", buffering=0) as file:
        for window in digits.windows(300, RECORDS):
            began = time.perf_counter()
            spool.append(window)
            between = time.perf_counter()
            file.write(encoder.encode(window))
            os.fdatasync(file.fileno())
            ours.append(between - began)
            bare.append(time.perf_counter() - between)
    spool.close()
    return statistics.median(ours), statistics.median(bare)


def _overflow(digits: Digits, folder: Path) -> int:
    """By how many the spool's counts are wrong once it had to drop most of what it was given."""
    spool, made = Spool(folder, OWNER, "b1", 1024 * 1024), 0
    with mock.patch("os.fdatasync"), mock.patch("os.fsync"):
        for window in digits.windows(120_000, 10):
            made += spool.append(window)
    told = spool.report()
    read = len(spool.read("b1", 0, 1 << 40))
    spool.close()
    return abs(made - told.dropped - told.records) + abs(told.records - read) + (told.dropped == 0)


def _child(folder: Path) -> bytes:
    # Its memory is measured from the start to the peak, so it must have done nothing else.
    return subprocess.run([sys.executable, "-m", "benchmarks.spool", folder], check=True, stdout=subprocess.PIPE).stdout


def drain(folder: Path) -> dict[str, float]:
    """Opens the spool in `folder` and reads it to its end, as the uplink does."""
    began = time.perf_counter()
    for path in folder.rglob("*.*"):
        path.read_bytes()
    read = time.perf_counter() - began
    before = _peak()
    began = time.perf_counter()
    spool = Spool(folder, OWNER, "b2", QUOTA_BYTES)
    opened = time.perf_counter() - began
    began, windows = time.perf_counter(), 0
    while backlog := spool.backlog():
        batch = spool.read(backlog.boot, backlog.mark, BATCH_BYTES)
        encode_batch(Batch("gateway", backlog.boot, backlog.mark, batch))
        windows += len(batch)
        spool.forget(backlog.boot, batch[-1].sequence)
    seconds = time.perf_counter() - began
    return {
        "read": read,
        "open": opened,
        "windows": windows,
        "rate": windows / seconds,
        "memory": _peak() - before,
        "dropped": spool.report().dropped,
    }


def _peak() -> float:
    # Not getrusage's: that one begins with what the parent had.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / MEGABYTE


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.stdout.write(json.dumps(drain(Path(sys.argv[1]))))
    else:
        sys.exit(main())
