"""An environment of its own for each peer, made from its lock once and kept for the next run."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parent.parent


def environment(name: str) -> Path:
    """The folder of programs of the environment that `locks/peer-NAME.txt` names."""
    lock = _ROOT / "locks" / f"peer-{name}.txt"
    made = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = _ROOT / ".pytest_cache" / "d" / "vedette" / f"peer-{name}-{made}"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.write(f"Installing {name} ...\n")
        uv = [sys.executable, "-m", "uv", "--no-config", "--quiet"]
        subprocess.run([*uv, "venv", "--python", sys.executable, str(folder)], check=True)
        into = ["--python", str(folder / "bin" / "python")]
        subprocess.run([*uv, "pip", "install", *into, "--require-hashes", "-r", str(lock)], check=True)
        (folder / "ready").touch()
    return folder / "bin"
