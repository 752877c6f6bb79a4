"""Artifacts by their content: a file under its final name is whole, and its hash was read back from disk."""

import errno
import hashlib
import threading
from collections import Counter
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import BinaryIO

from edge_agent.durable import asked_twice
from edge_agent.failures import ArtifactRejected, TryLater, disk_trouble
from edge_agent.store.disk import Disk
from edge_agent.store.part import Part
from edge_agent.store.quota import Quota
from fleet_contract.because import Because
from fleet_contract.manifest import Blob

#: Updates leave this much of the disk to others.
RESERVE_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
#: What a disk says of a place that it cannot read, and how often before it is taken at its word: a card that was bumped
#: reads again.
_UNREADABLE = frozenset({errno.EIO, errno.EBADMSG, errno.EUCLEAN})
READ_TRIES = 4
_NO_BOUND = Quota()


class ArtifactStore:
    """One folder of blobs, named by their hashes. One thread verifies and evicts; others may write parts, of one blob
    each."""

    def __init__(self, folder: Path, disk: Disk, quota: Quota = _NO_BOUND) -> None:
        self._folder = folder
        self._disk = disk
        self.quota = quota
        """How much of the disk is for artifacts; may be set at any time, and holds for what is fetched from then on."""
        self.trouble: Because | None = None
        """Why what must stay is too much already, as of the last `keep`."""
        self.damage: Because | None = None
        """That files which were safe on this disk have changed there, since this process began."""
        self._damaged = 0
        self._verified: set[str] = set()
        # All that is there of these has come since this process began, and was never right: no power cut has taken any.
        self._begun: set[str] = set()
        # How often in a row it could not be read back.
        self._unread: Counter[str] = Counter()
        self._lock = threading.Lock()
        # Guarded by the lock: names of files, without suffixes, and what is to become of them in bytes.
        self._proven: frozenset[str] = frozenset()
        self._promised: dict[str, int] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where the blob of `digest` is, once it was verified."""
        return self._folder / file_name(digest)

    def is_whole(self, blob: Blob) -> bool:
        """Whether all bytes are on disk; they may still be the wrong ones."""
        return _size(self.path(blob.digest)) == blob.size_bytes or _size(self._part(blob)) == blob.size_bytes

    def is_verified(self, blob: Blob) -> bool:
        """Whether this process has read all bytes back from disk, the right ones, and nobody has doubted it since."""
        return blob.digest in self._verified and _size(self.path(blob.digest)) == blob.size_bytes

    def admit(self, *blobs: Blob) -> None:
        """Promises room for all of `blobs`, which belong to one release, until they are not kept any more.

        Evicts what nobody was promised, if that helps. Raises `ArtifactRejected`, "quota-exceeded", when they can
        never fit beside what is proven, and `TryLater` when others must be done first ("quota-full") or the disk fails.
        """
        wanted = {file_name(blob.digest): blob.size_bytes for blob in blobs}
        with self._lock:
            try:
                for name in self.quota.room(wanted, self._proven, self._promised, self._on_disk()):
                    self._remove(name)
            except OSError as error:
                raise disk_trouble(error, "making room for an artifact") from error
            self._promised.update(wanted)

    def part(self, blob: Blob) -> Part:
        """What has come of `blob`, to go on with. Raises `TryLater`, "disk-full", when the rest would not fit."""
        try:
            with self._lock:
                on_disk = self._on_disk()
                promised = {**self._promised, file_name(blob.digest): blob.size_bytes}
            free = self._disk.free_bytes(self._folder)
        except OSError as error:
            raise disk_trouble(error, "looking for room") from error
        come = sum(max(0, size - on_disk[name]) for name, size in promised.items())
        if come + RESERVE_BYTES > free:
            raise TryLater(
                f"The disk is full: {come} bytes are to come, {free} are free, and updates leave {RESERVE_BYTES} to "
                "others.",
                "Free some space; it goes on by itself.",
                code="disk-full",
            )
        return Part(self._part(blob), blob, self._disk, self._begun)

    def verify(self, blob: Blob) -> None:
        """Reads `blob` back from disk; nothing is kept of bytes that are not what the digest names.

        Raises `ArtifactRejected`, "digest-wrong", when they came so; `TryLater` when they may have come right and were
        lost since, by a power cut or by the disk ("artifact-damaged"), or the disk fails; what it has failed to read
        `READ_TRIES` times is lost.
        """
        final, part = self.path(blob.digest), self._part(blob)
        path = final if _size(final) == blob.size_bytes else part
        self._verified.discard(blob.digest)
        try:
            with path.open("rb") as file:
                # A sync of before may have failed: the page cache then shows what never came to the disk.
                self._disk.sync(file)
                found = self._digest(file, blob)
            if found != blob.digest:
                # For good: were it back after a power cut, the same wrong bytes would be counted twice.
                self._disk.remove(path)
            elif path == part:
                self._disk.rename(part, final)
                part.with_suffix(".etag").unlink(missing_ok=True)
        except OSError as error:
            raise disk_trouble(error, f"reading {path.name} back") from error
        if found != blob.digest and (found is None or blob.digest not in self._begun):
            if path == final:
                self._note_damage(path)
            is_now = "could not be read" if found is None else f"has the digest {found[:19]}"
            raise TryLater(
                f"On disk {path.name[:12]} {is_now}: a power cut took some bytes, or the disk did.",
                "They are fetched again by themselves; check the disk when it happens often.",
                code="artifact-damaged",
            )
        if found != blob.digest:
            raise ArtifactRejected(
                f"The bytes have the digest {found[:19]}, and the manifest names {blob.digest[:19]}.",
                "They were damaged on their way or where they lie; build and register the version again.",
                code="digest-wrong",
            )
        self._verified.add(blob.digest)
        # What is found to be wrong from now on did not come so.
        self._begun.discard(blob.digest)

    def doubt(self, blob: Blob) -> None:
        """`blob` is not to be used again before it was read back once more."""
        self._verified.discard(blob.digest)

    def keep(self, digests: AbstractSet[str], proven: AbstractSet[str] = frozenset()) -> None:
        """Evicts all but `digests`. Of those, `proven` are never given up for others. Raises `TryLater`."""
        names = {file_name(digest) for digest in digests}
        with self._lock:
            self._proven = frozenset(file_name(digest) for digest in proven)
            self._promised = {name: size for name, size in self._promised.items() if name in names}
            self._verified &= digests
            self._begun &= digests
            self._unread = Counter({digest: times for digest, times in self._unread.items() if digest in digests})
            try:
                on_disk = self._on_disk()
                self.trouble = self.quota.exceeded(sum(size for name, size in on_disk.items() if name in self._proven))
                # What cannot be removed comes last, or it would keep the others.
                for name in sorted(on_disk.keys() - names, key=lambda name: (self._folder / name).is_dir()):
                    self._remove(name)
            except OSError as error:
                raise disk_trouble(error, "evicting old artifacts") from error

    def _digest(self, file: BinaryIO, blob: Blob) -> str | None:
        """None when the disk will not read it any more. Raises OSError while it still may."""
        found: str | None
        try:
            found = _digest(file)
        except OSError as error:
            self._unread[blob.digest] += 1
            if error.errno not in _UNREADABLE or self._unread[blob.digest] < READ_TRIES:
                raise
            found = None
        del self._unread[blob.digest]
        return found

    def _note_damage(self, path: Path) -> None:
        # No power cut takes what was synced, read back and renamed: it is the disk, and who owns it should hear of it.
        self._damaged += 1
        self.damage = Because(
            "artifact-damaged",
            f"{self._damaged} of the files that were safe on this device's disk have changed there since the agent "
            f"started, {path.name[:12]} the last: they are fetched again, and the disk may be about to fail.",
        )

    def _on_disk(self) -> Counter[str]:
        """The bytes that are there of each blob, with all that was made of it."""
        sizes: Counter[str] = Counter()
        for path in self._folder.iterdir():
            sizes[_stem(path)] += _size(path) or 0
        return sizes

    def _remove(self, name: str) -> None:
        for path in self._folder.iterdir():
            if _stem(path) == name:
                path.unlink(missing_ok=True)

    def _part(self, blob: Blob) -> Path:
        return self.path(blob.digest).with_suffix(".part")


def file_name(digest: str) -> str:
    """What a blob's file is called, once it was verified."""
    return digest.removeprefix("sha256:")


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _size(path: Path) -> int | None:
    try:
        return asked_twice(path.stat).st_size
    except OSError:
        # Missing, or as good as missing: it is then fetched, and the disk's trouble shows there.
        return None


def _digest(file: BinaryIO) -> str:
    hasher = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        hasher.update(chunk)
    return f"sha256:{hasher.hexdigest()}"
