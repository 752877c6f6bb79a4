"""The newest order on disk: as it came, what was found when it was verified, and the digest that shows rot."""

import hashlib
from pathlib import Path

import msgspec

from edge_agent.durable import read_again
from edge_agent.store.disk import Disk
from fleet_contract.errors import Undecodable


class Kept(msgspec.Struct, frozen=True):
    """An order as it came. `vouched` says that every signature in it was found right then."""

    payload: bytes
    vouched: bool


class _File(msgspec.Struct, frozen=True):
    order: msgspec.Raw
    sha256: str
    vouched: bool


class OrderStore:
    """The file at `path`. Its order was verified when it came; a start looks only for what has rotted since."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk

    def save(self, kept: Kept) -> None:
        """Returns when `kept`, whose payload is JSON, would survive a power cut. Raises OSError."""
        # Around a value that is read back raw, white space is gone.
        payload = kept.payload.strip()
        file = _File(msgspec.Raw(payload), _sha256(payload), kept.vouched)
        self._disk.replace(self._path, msgspec.json.encode(file))

    def load(self) -> Kept:
        """What was saved last. Raises OSError, FileNotFoundError when nothing was, and `Undecodable`."""
        try:
            file = msgspec.json.decode(read_again(self._path), type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Undecodable(f"{self._path.name} is no order that was kept: {error}.") from error
        payload = bytes(file.order)
        if _sha256(payload) != file.sha256:
            raise Undecodable(f"{self._path.name} has changed on disk.")
        return Kept(payload, file.vouched)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
