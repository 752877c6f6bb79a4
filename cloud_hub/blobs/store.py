"""The port of the blob store: bytes that are named by what they are."""

import errno
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cloud_hub.errors import DiskFull, Invalid, NotFound, TooLarge
from fleet_contract.manifest import Blob

CHUNK_BYTES = 1024 * 1024


class Blobs(Protocol):
    """Digests are "sha256:" and 64 hexadecimal digits; any other text raises `Invalid` ("digest-wrong")."""

    def put(self, digest: str, chunks: Iterable[bytes]) -> Blob:
        """Keeps the bytes, durably, if they have this digest; the same blob again is fine.

        Raises `Invalid` ("digest-wrong") when they have another, `TooLarge` ("blob-too-large"), `DiskFull`.
        """

    def read(self, digest: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `end`. Raises `NotFound` ("blob-unknown") at once."""

    def size(self, digest: str) -> int | None:
        """How many bytes it has, or None when it is not here."""

    def path_or_temp(self, digest: str) -> AbstractContextManager[Path]:
        """A file with the blob's bytes, to read only, for as long as the block runs. Raises `NotFound`."""

    def url(self, digest: str, expires_at: datetime) -> str:
        """Where anyone who has this URL may GET the blob until `expires_at`; relative to the hub's, or absolute."""


def check_digest(digest: str) -> str:
    """The 64 hexadecimal digits of `digest`. Raises `Invalid`."""
    kind, _, digits = digest.partition(":")
    if kind != "sha256" or len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise Invalid(f"{digest!r} is not a digest.", "Use sha256: and 64 lower-case hex digits.", code="digest-wrong")
    return digits


def checked(digest: str, chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """`chunks`, raising at their end when they do not have `digest`, and as soon as there are too many."""
    hasher, size = hashlib.sha256(), 0
    for chunk in chunks:
        hasher.update(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(f"This blob has more than {max_bytes} bytes.", code="blob-too-large")
        yield chunk
    if hasher.hexdigest() != check_digest(digest):
        raise Invalid(
            f"The {size} bytes that came have the digest sha256:{hasher.hexdigest()}, and not {digest}.",
            "They were damaged on their way, or another file was meant; send it again.",
            code="digest-wrong",
        )


@contextmanager
def full_disk_is_said(digest: str, folder: Path) -> Iterator[None]:
    """Turns what the system raises when `folder` has no room left for `digest` into `DiskFull`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            f"There is no room for {digest} in {folder}: {error.strerror}.",
            "Make room on that disk; nothing was kept of this blob, and nothing else was harmed.",
        ) from error


def unknown(digest: str) -> NotFound:
    return NotFound(f"There is no blob {digest}.", "Upload it with PUT /api/v1/blobs/DIGEST.", code="blob-unknown")
