"""The newest order on disk: as it came, with the digest that shows whether it still is what it was."""

import hashlib
from pathlib import Path

import msgspec

from edge_agent.durable import read_again
from edge_agent.store.disk import Disk
from fleet_contract.errors import Undecodable


class _Kept(msgspec.Struct, frozen=True):
    order: msgspec.Raw
    sha256: str


class OrderStore:
    """The file at `path`. Its signatures were verified when it came; a start looks only for what has rotted since."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk

    def save(self, payload: bytes) -> None:
        """Returns when `payload`, which is JSON, would survive a power cut. Raises OSError."""
        # Around a value that is read back raw, white space is gone.
        payload = payload.strip()
        self._disk.replace(self._path, msgspec.json.encode(_Kept(msgspec.Raw(payload), _sha256(payload))))

    def load(self) -> bytes:
        """What was saved last. Raises OSError, FileNotFoundError when nothing was, and `Undecodable`."""
        try:
            kept = msgspec.json.decode(read_again(self._path), type=_Kept)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Undecodable(f"{self._path.name} is no order that was kept: {error}.") from error
        payload = bytes(kept.order)
        if _sha256(payload) != kept.sha256:
            raise Undecodable(f"{self._path.name} has changed on disk.")
        return payload


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
