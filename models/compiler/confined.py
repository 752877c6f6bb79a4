"""Runs an admission in a child process with limits, so that a hostile file ends the child and nothing else.

The child has a bound on memory, processor time, files and their size, an empty working directory, and no environment
but what Python needs. Whatever becomes of it, the parent has a verdict.
"""

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fleet_contract.encoding import encode
from models.compiler.admission import Admitted, Refused, verdict

#: What ONNX Runtime and numpy map before they have read a model; address space, not resident memory.
MEMORY_MIB = 3072
SECONDS = 60.0
_MAX_FILES = 64
_MAX_VERDICT_BYTES = 64 * 1024
_KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "HOME", "LANG")


def check(
    artifact: Path, manifest: Path, golden_set: Path, *, seconds: float = SECONDS, memory_mib: int = MEMORY_MIB
) -> Admitted | Refused:
    """The verdict on three files. A child that dies or hangs is a refusal, "check-crashed" or "check-timed-out"."""
    files = [str(path.resolve()) for path in (artifact, manifest, golden_set)]
    with tempfile.TemporaryDirectory(prefix="vedette-check-") as empty:
        command = [sys.executable, "-m", __name__, empty, str(memory_mib), str(int(seconds) + 1), *files]
        try:
            child = subprocess.run(
                command, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return Refused(
                "check-timed-out",
                f"The check did not end within {seconds:g} s.",
                "Register a smaller model, or give the check more with --timeout.",
            )
    if child.returncode == 0 and len(child.stdout) <= _MAX_VERDICT_BYTES:
        try:
            return msgspec.json.decode(child.stdout, type=_Verdict).value()
        except msgspec.DecodeError:
            pass  # It is what a library printed while dying: the same refusal as below.
    return Refused(
        "check-crashed",
        f"Reading the artifact ended the process that did it: {_death(child.returncode)}.",
        "It is damaged or hostile, or needs more memory than --memory-mib gives; compile it again from its source.",
    )


class _Verdict(msgspec.Struct, frozen=True):
    """Both answers in one, as they come over the pipe."""

    ok: bool
    target: str = ""
    agreement: float = 0.0
    max_abs_error: float = 0.0
    samples: int = 0
    latency_us: float = 0.0
    size_bytes: int = 0
    code: str = ""
    detail: str = ""
    remedy: str = ""

    def value(self) -> Admitted | Refused:
        if not self.ok:
            return Refused(self.code, self.detail, self.remedy)
        return Admitted(self.target, self.agreement, self.max_abs_error, self.samples, self.latency_us, self.size_bytes)


def _environment() -> dict[str, str]:
    # One thread each: OpenBLAS and OpenMP otherwise reserve address space for every core.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | threads


def _death(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return signal.strsignal(-code) or f"signal {-code}"


def _confine(memory_mib: int, seconds: int) -> None:
    for what, limit in (
        (resource.RLIMIT_AS, memory_mib * 1024 * 1024),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
    ):
        hard = resource.getrlimit(what)[1]
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (bound, bound))


def _child(arguments: Sequence[str]) -> None:
    empty, memory_mib, seconds, *files = arguments
    _confine(int(memory_mib), int(seconds))
    # A model may name files with more of its weights; from here there are none.
    os.chdir(empty)
    sys.stdout.buffer.write(encode(verdict(*map(Path, files))))


if __name__ == "__main__":
    _child(sys.argv[1:])
