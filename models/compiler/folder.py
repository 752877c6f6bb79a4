"""A version as a folder, which is what a build makes and what registering reads.

manifest.<target>.json   the contract's `Manifest`, unsigned; version 0 means "the next"
artifact.<target>.onnx   what that manifest names
golden.npz               the golden set that all of them name
source.onnx              the float model they were compiled from
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from models.errors import FolderTaken

GOLDEN = "golden.npz"
SOURCE = "source.onnx"
_OURS = re.compile(r"manifest\.[a-z0-9-]+\.json|artifact\.[a-z0-9-]+\.onnx|golden\.npz|source\.onnx")


def manifest_name(target: str) -> str:
    return f"manifest.{target}.json"


def artifact_name(target: str) -> str:
    return f"artifact.{target}.onnx"


def check_free(out: Path) -> None:
    """Raises `FolderTaken` when `out` holds anything but an earlier build: nothing else is ever deleted."""
    if out.is_dir():
        foreign = sorted(path.name for path in out.iterdir() if not _OURS.fullmatch(path.name))
    else:
        foreign = [out.name] if out.exists() or out.is_symlink() else []
    if foreign:
        raise FolderTaken(
            f"{out} holds {', '.join(foreign[:3])}{' and more' if len(foreign) > 3 else ''}, which no build made.",
            "Name a folder that is empty or new.",
        )


def write(out: Path, files: Mapping[str, bytes]) -> None:
    """Makes `out` of `files`, all or nothing; an earlier build there is replaced. Raises `FolderTaken`."""
    check_free(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
            made = Path(scratch, "made")
            made.mkdir()
            for name, data in files.items():
                (made / name).write_bytes(data)
            if out.exists():
                out.rename(Path(scratch, "before"))
            made.rename(out)
    except OSError as error:
        raise FolderTaken(f"{out} cannot be written: {error}.", "Name a folder that you may write to.") from error
