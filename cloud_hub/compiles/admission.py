"""The check before a version is signed: its artifact loads and answers its golden set, seen in a process of its own.

Artifacts may come from anybody. The checker (`python -m models.compiler check`) confines itself, and this side bounds
how long it may take and how many run at once, so a hostile file costs its sender an error, and nobody anything else.
"""

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Protocol

import msgspec

from cloud_hub.errors import Invalid, Unavailable
from fleet_contract.encoding import encode
from fleet_contract.manifest import Manifest

SECONDS = 60.0
#: The checker's own limit comes first, and says more.
_GRACE_SECONDS = 15.0
_AT_ONCE = 2
_MAX_SAID = 500


class Evidence(msgspec.Struct, frozen=True):
    """What was seen: the share of golden samples that agree, 0 to 1, and the largest error of any output."""

    agreement: float
    max_abs_error: float


class Admission(Protocol):
    """Checks one artifact."""

    def check(self, artifact: Path, manifest: Manifest, golden: Path) -> Evidence:
        """Raises `Invalid` with the checker's code ("model-unreadable", "golden-set-failed", ...), `Unavailable`."""


class _Answer(msgspec.Struct, frozen=True):
    ok: bool
    agreement: float = 0.0
    max_abs_error: float = 0.0
    code: str = "model-unreadable"
    detail: str = ""
    remedy: str = ""


class CompilerCheck:
    """Runs the compiler's check. Thread-safe: more than two wait for each other."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._turn = threading.BoundedSemaphore(_AT_ONCE)

    def check(self, artifact: Path, manifest: Manifest, golden: Path) -> Evidence:
        with self._turn, tempfile.TemporaryDirectory(prefix="vedette-admission-") as folder:
            written = Path(folder) / "manifest.json"
            written.write_bytes(encode(manifest))
            answer = self._run(artifact, written, golden, manifest)
        if not answer.ok:
            about = f"{manifest.model} for {manifest.target}"
            raise Invalid(f"The artifact of {about} is refused. {answer.detail}", answer.remedy, code=answer.code)
        return Evidence(answer.agreement, answer.max_abs_error)

    def _run(self, artifact: Path, manifest_file: Path, golden: Path, manifest: Manifest) -> _Answer:
        files = ["--artifact", str(artifact), "--manifest", str(manifest_file), "--golden", str(golden)]
        command = [sys.executable, "-m", "models.compiler", "check", *files, "--timeout", str(self._seconds)]
        try:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._seconds + _GRACE_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise Invalid(
                f"The check of {manifest.model} for {manifest.target} did not end within {error.timeout:g} s.",
                "Register a smaller model.",
                code="check-timed-out",
            ) from error
        try:
            return msgspec.json.decode(done.stdout, type=_Answer)
        except msgspec.DecodeError as error:
            said = done.stderr.decode(errors="replace")[-_MAX_SAID:].strip() or "it said nothing"
            raise Unavailable(
                f"The checker of artifacts ended with code {done.returncode} and no answer: {said}",
                "The hub needs the extra `compile` to check artifacts: install vedette[hub,compile].",
                code="checker-broken",
            ) from error
