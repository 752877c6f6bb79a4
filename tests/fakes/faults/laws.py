"""What must hold of a device after any fault: it comes up, runs what it was proven to run, and gets where it should."""

import contextlib
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.blob_server import BlobServer
from tests.fakes.faults.watched import PATIENCE_SECONDS, Broken, Claims, Watched, release


def examine(folder: Path, server: BlobServer, claims: Claims, target: int) -> str | None:
    """Starts a device on what a fault has left in `folder`, first without a network, then with one that orders version
    `target`. The law that is broken, in a sentence, or None."""
    try:
        _check_names(folder)
        with offline(server), Watched(folder, server) as device:
            _check_recalled(device, claims)
            server.status = None
            # Other URLs: what failed without a network is tried at once.
            generation = device.updater.state().generation + 1 + claims.ordered
            device.order(target, generation, query="?again")
            device.wait_until_settled(target)
            if device.running() != target:
                raise Broken(f"it says that version {target} runs, and it does not")
            _check_kept(folder, device.versions())
        _check_names(folder)
    except Exception as error:  # noqa: BLE001, whatever it is, the device did not come through
        return f"{type(error).__name__}: {error}"
    return None


@contextlib.contextmanager
def offline(server: BlobServer) -> Iterator[None]:
    """Nothing can be had from `server` in the block, until it says otherwise."""
    server.status = 503
    try:
        yield
    finally:
        server.status = None


def _check_recalled(device: Watched, claims: Claims) -> None:
    followed = device.updater.state().generation
    if followed < claims.generation:
        raise Broken(f"generation {claims.generation} was followed, and after the fault it is {followed}")
    if not claims.running:
        return
    version = device.wait_until_running()
    if not claims.running <= version <= claims.ordered:
        raise Broken(
            f"version {claims.running} ran and {claims.ordered} was ordered, and after the fault it is "
            f"{version or 'none'}: {device.updater.state()}"
        )


def _check_kept(folder: Path, versions: list[int]) -> None:
    """What runs and what ran before are on disk, and no other artifacts or parts of one, as soon as a download that was
    called off has let go."""
    kept = {digest.removeprefix("sha256:") for version in versions for digest in release(version).blobs}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := {path.name.partition(".")[0] for path in (folder / "artifacts").iterdir()}) != kept:
        if time.monotonic() > deadline:
            more, less = len(found - kept), len(kept - found)
            raise Broken(f"versions {versions} are kept, and {more} more and {less} less are there")
        time.sleep(0.02)


def _check_names(folder: Path) -> None:
    """A file under its final name is whole."""
    artifacts = folder / "artifacts"
    for path in artifacts.iterdir() if artifacts.exists() else ():
        if not path.suffix and (found := hashlib.sha256(path.read_bytes()).hexdigest()) != path.name:
            raise Broken(f"{path.name[:12]} has {path.stat().st_size} bytes, and the digest {found[:12]}")
