"""Manifests: rollouts that are kept in files. The hub reads the YAML; here it is only text."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from fleet_client.errors import ManifestUnreadable
from fleet_client.http import API, Http
from fleet_client.views import Rollout

_ENDINGS = (".yaml", ".yml")


class File(msgspec.Struct, frozen=True):
    """A file of one or several manifests; `name` is what errors call it."""

    name: str
    text: str


class Field(msgspec.Struct, frozen=True):
    """A field that is another than what is there, by its place ("spec.rate.growth_factor")."""

    where: str
    before: Any = None
    after: Any = None


class Difference(msgspec.Struct, frozen=True):
    """A manifest against what is there: a unified diff, or "", and a sentence that says what applying it does. `fields`
    are those that changed."""

    file: str
    kind: str
    name: str
    change: Literal["none", "new", "changed"]
    diff: str
    sentence: str
    fields: tuple[Field, ...] = ()
    rollout: str | None = None


class Differences(msgspec.Struct, frozen=True):
    """`differs` when applying the same would do anything. With `seen`, `apply` does only what is told here."""

    differs: bool
    manifests: tuple[Difference, ...]
    seen: str | None = None


class Applied(msgspec.Struct, frozen=True):
    """What became of a manifest; and, of a Rollout, which is there now."""

    file: str
    kind: str
    name: str
    outcome: Literal["unchanged", "created", "changed"]
    sentence: str
    rollout: Rollout | None = None


class _All(msgspec.Struct, frozen=True):
    manifests: tuple[Applied, ...]


class Manifests:
    """`client.manifests`. Every method raises `HubUnreachable`, `HubRefused` or `AnswerWrong`; the `faults` of a
    `HubRefused` with the code "manifest-wrong" are all that is wrong, each with its line and column."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def schema(self, kind: str = "rollout") -> dict[str, Any]:
        """The JSON Schema of manifests of `kind`, in lower case."""
        return self._http.get(dict[str, Any], f"{API}/schemas/{quote(kind, safe='')}.json")

    def diff(self, files: Iterable[File], *, again: bool = False) -> Differences:
        """What applying `files`, with the same `again`, would change. Changes nothing."""
        body = {"files": list(files), "again": again}
        return self._http.ask(Differences, f"{API}/manifests/diff", body)

    def apply(
        self, files: Iterable[File], *, again: bool = False, key: str | None = None, seen: str | None = None
    ) -> tuple[Applied, ...]:
        """Starts a rollout for each manifest that is new or has changed; with `again` for each of them, once for each
        `key`. Nothing is started when anything is wrong with any file, or when it would do something else than the
        `diff` that gave `seen` told."""
        body = {"files": list(files), "again": again}
        path = f"{API}/manifests/apply"
        return self._http.send(_All, "POST", path, body, key or os.urandom(16).hex(), seen).manifests


def read_files(paths: Iterable[Path]) -> list[File]:
    """The manifests at `paths`: files, and the .yaml and .yml files of folders. Raises `ManifestUnreadable`."""
    return [_read(file) for path in paths for file in (_of_folder(path) if path.is_dir() else [path])]


def _of_folder(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix in _ENDINGS and path.is_file())
    if not found:
        raise ManifestUnreadable(
            f"The folder {folder} holds no file that ends in {' or '.join(_ENDINGS)}.",
            "Name the files, or another folder.",
        )
    return found


def _read(path: Path) -> File:
    try:
        # A file's name may be any bytes, and is only told.
        return File(os.fsencode(path).decode(errors="replace"), path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ManifestUnreadable(
            f"Cannot read {path}: {error.strerror}.", "Name a file, a folder, or - for standard input."
        ) from error
    except UnicodeDecodeError as error:
        raise ManifestUnreadable(f"{path} is no text: {error}.", "Save it as YAML in UTF-8.") from error
