"""A table in a local folder survives a power cut, not only a killed process.

deltalake renames files into place but syncs none, so that after a power cut a commit may be there with nothing in
it, and the whole table unreadable. An ack must not be sent on that: `sync_commits` runs before it. What was written
and not synced was never acked; `mend` sets it aside, and devices send it again.
"""

import json
import logging
import os
import re
from pathlib import Path
from urllib.parse import unquote

from cloud_hub.lake.log import LOG

_log = logging.getLogger(__name__)
_MAGIC = b"PAR1"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")


def sync_commits(table: Path, first: int, last: int) -> None:
    """Syncs commits `first` to `last`, the data files that they add, and their checkpoints. Raises OSError."""
    folders = {table / LOG}
    for version in range(first, last + 1):
        commit = table / LOG / f"{version:020d}.json"
        checkpoint = table / LOG / f"{version:020d}.checkpoint.parquet"
        for action in map(json.loads, commit.read_bytes().splitlines()):
            if "add" in action:
                data = table / unquote(action["add"]["path"])
                _sync(data)
                folders |= {data.parent, table}
        _sync(commit)
        if checkpoint.exists():
            _sync(checkpoint)
            _sync(table / LOG / "_last_checkpoint")
    for folder in folders:
        _sync(folder)


def mend(table: Path) -> list[Path]:
    """Sets aside the newest commits of `table` that a power cut has torn, and torn checkpoints. Gives their new names.

    Only the newest can be torn, since a commit is synced before the next one is made. Raises OSError.
    """
    found = {int(one[1]): path for path in (table / LOG).glob("*.json") if (one := _COMMIT.fullmatch(path.name))}
    newest = max(found, default=-1)
    torn = []
    while newest in found and not _is_whole(table, found[newest]):
        torn.append(found[newest])
        newest -= 1
    for path in (table / LOG).glob("*.checkpoint.parquet"):
        one = _CHECKPOINT.fullmatch(path.name)
        if one and (int(one[1]) > newest or not _is_parquet(path)):
            torn.append(path)
            # It may name this checkpoint; without it readers look for one themselves.
            (table / LOG / "_last_checkpoint").unlink(missing_ok=True)
    aside = [path.rename(path.with_name(f"{path.name}.torn")) for path in torn]
    for path in aside:
        _log.error("%s: torn by a power cut before anything of it was acked, and set aside", path)
    if aside:
        _sync(table / LOG)
    return aside


def _is_whole(table: Path, commit: Path) -> bool:
    try:
        actions = [json.loads(line) for line in commit.read_bytes().splitlines()]
    except ValueError:
        return False
    added = [(table / unquote(action["add"]["path"]), action["add"]["size"]) for action in actions if "add" in action]
    return bool(actions) and all(
        path.exists() and path.stat().st_size == size and _is_parquet(path) for path, size in added
    )


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < len(_MAGIC) * 3:
            return False
        file.seek(-len(_MAGIC), os.SEEK_END)
        return file.read() == _MAGIC


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
