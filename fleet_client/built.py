"""A built version as a folder, as `vedette models build` leaves it, read and checked before anything is sent.

manifest.<target>.json   the contract's manifest, one a hardware target; version 0 means "the next"
artifact.<target>.onnx   what it names, as does golden.npz; files are found by content, not by name
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fleet_client.errors import BuildWrong
from fleet_contract.manifest import Blob, Manifest

_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class BuiltFile:
    """One file to send. `digest` is of what is on the disk now."""

    path: Path
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Built:
    """`manifests` are the JSON texts as they are on disk; `files` are all that they name."""

    model: str
    targets: tuple[str, ...]
    manifests: tuple[msgspec.Raw, ...]
    files: tuple[BuiltFile, ...]


def read(folder: Path) -> Built:
    """The version in `folder`. Raises `BuildWrong`, which says which file is missing or damaged."""
    if not folder.is_dir():
        raise BuildWrong(f"There is no folder {folder}.", "Make one with `vedette models build NAME --out FOLDER`.")
    texts = [(path, path.read_bytes()) for path in sorted(folder.glob("manifest.*.json"))]
    if not texts:
        raise BuildWrong(
            f"{folder} holds no manifest.TARGET.json.", "Make it with `vedette models build NAME --out FOLDER`."
        )
    manifests = [_manifest(path, text) for path, text in texts]
    models = {manifest.model for manifest in manifests}
    if len(models) != 1:
        raise BuildWrong(
            f"The manifests in {folder} are of different models: {', '.join(sorted(models))}.",
            "Build each model into a folder of its own.",
        )
    return Built(
        models.pop(),
        tuple(manifest.target for manifest in manifests),
        tuple(msgspec.Raw(text) for _, text in texts),
        _files(folder, manifests),
    )


def _manifest(path: Path, text: bytes) -> Manifest:
    try:
        return msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BuildWrong(f"{path} is not a manifest: {error}.", "Build the version again.") from error


def _files(folder: Path, manifests: list[Manifest]) -> tuple[BuiltFile, ...]:
    found = {
        (one := _digested(path)).digest: one
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix != ".json"
    }
    named: dict[str, BuiltFile] = {}
    for manifest in manifests:
        for what, blob in (("artifact", manifest.artifact), ("golden set", manifest.golden.blob)):
            named[blob.digest] = _find(folder, found, f"{what} for {manifest.target}", blob)
    return tuple(named.values())


def _find(folder: Path, found: dict[str, BuiltFile], what: str, blob: Blob) -> BuiltFile:
    try:
        return found[blob.digest]
    except KeyError:
        raise BuildWrong(
            f"No file in {folder} is the {what}: none has the digest {blob.digest[:19]}... that its manifest names.",
            "It is missing, or was changed after it was built: build the version again.",
        ) from None


def _digested(path: Path) -> BuiltFile:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return BuiltFile(path, f"sha256:{digest.hexdigest()}", size)
