"""Reads the records out of a file of one lane, whichever form it has."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from edge_agent.durable import read_again
from edge_agent.telemetry.log import Kind, scan
from edge_agent.telemetry.sealed import SegmentDamaged, read_body
from edge_agent.telemetry.segment import Segment
from fleet_contract.errors import Undecodable
from fleet_contract.telemetry import RECORDS, Lane, decode_batch

_log = logging.getLogger(__name__)
_decoders = {lane: msgspec.msgpack.Decoder(kind) for lane, kind in RECORDS.items()}


class Read(NamedTuple):
    """A record, and the bytes that it took in a log."""

    record: Any
    size_bytes: int


class Reader:
    """Keeps the sealed file that was read last: several batches come out of one."""

    def __init__(self, lane: Lane) -> None:
        self._decoder = _decoders[lane]
        self._unpacked: tuple[Path, tuple[Any, ...]] | None = None

    def records(self, segment: Segment, since: int) -> Iterator[Read]:
        """The records in `segment` after `since` that can be read. Raises OSError when they may be, later."""
        try:
            if segment.sealed:
                size_bytes = segment.raw_bytes // max(1, segment.waiting(0))
                yield from (Read(one, size_bytes) for one in self._unseal(segment.path) if one.sequence > since)
                return
            data, (known, start) = read_again(segment.path), segment.hint
            for placed in scan(data, start if known <= since else 0):
                kind, number, body = placed.entry
                if kind is not Kind.RECORD:
                    continue
                if number > segment.last:
                    # Its write failed, which ended the file and counted it as dropped, though it is there.
                    return
                if number <= since:
                    segment.hint = (number, placed.end)
                    continue
                try:
                    yield Read(self._decoder.decode(body), len(body))
                except msgspec.DecodeError:
                    _log.error("%s: record %d cannot be read", segment.path, number)
        except (SegmentDamaged, Undecodable) as error:
            _log.error("%s", error)
        except FileNotFoundError as error:
            _log.error("cannot read %s: %s", segment.path, error.strerror)

    def forget(self, path: Path) -> None:
        """The file at `path` is not read any more."""
        if self._unpacked is not None and self._unpacked[0] == path:
            self._unpacked = None

    def _unseal(self, path: Path) -> tuple[Any, ...]:
        if self._unpacked is None or self._unpacked[0] != path:
            self._unpacked = (path, decode_batch(read_body(path)).records)
        return self._unpacked[1]
