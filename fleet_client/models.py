"""The models and their versions: look at them, register a new one from a built folder."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from fleet_client import paging
from fleet_client.blobs import Blobs
from fleet_client.figures import Series
from fleet_client.http import API, Http
from fleet_client.views import Labelled, Labels, Model, Page, Version

#: Told which file goes, how many of its bytes have gone, and how many there are.
FileProgress = Callable[[Path, int, int], None]


class Models:
    """`client.models`. Every method raises `HubUnreachable`, `HubRefused` or `AnswerWrong`."""

    def __init__(self, http: Http, blobs: Blobs) -> None:
        self._http, self._blobs = http, blobs

    def page(self, *, sort: str | None = None, limit: int = 50, cursor: str | None = None) -> Page[Model]:
        return paging.page(self._http, Model, f"{API}/models", {"sort": sort}, limit, cursor)

    def all(self) -> Iterator[Model]:
        return paging.every(self._http, Model, f"{API}/models", {})

    def get(self, model: str) -> Model:
        return self._http.get(Model, _path(model))

    def versions(self, model: str, *, limit: int = 50, cursor: str | None = None) -> Page[Version]:
        """A page of the versions of `model`, newest first."""
        return paging.page(self._http, Version, f"{_path(model)}/versions", {}, limit, cursor)

    def version(self, model: str, version: int) -> Version:
        return self._http.get(Version, f"{_path(model)}/versions/{version}")

    def series(self, model: str, *, device: str | None = None, minutes: int = 15) -> Series:
        """What `model` did over the last minutes, by version, on the whole fleet or on one device."""
        query = {"model": model, "device": device, "minutes": minutes}
        return self._http.get(Series, f"{API}/monitoring/series", query)

    def register(self, folder: Path, *, notes: str = "", progress: FileProgress | None = None) -> Version:
        """Uploads what `vedette models build` left in `folder`; the hub checks, signs and numbers it.

        The same file again changes nothing. Raises `BuildWrong` before anything is sent.
        """
        # Only here: a manifest's module brings cryptography along, a tenth of what any other command needs to start.
        from fleet_client import built

        version = built.read(folder)
        for file in version.files:
            watch = None if progress is None else _of_file(progress, file.path)
            self._blobs.upload(file.path, file.digest, watch)
        body = {"notes": notes, "artifacts": [{"manifest": manifest} for manifest in version.manifests]}
        return self._http.send(Version, "POST", f"{_path(version.model)}/versions", body, os.urandom(16).hex())

    def label(self, model: str, rows: Iterable[Labels], key: str) -> Labelled:
        """Tells true labels that arrived late: evidence for the gates. Under one `key` they count once."""
        return self._http.send(Labelled, "POST", f"{_path(model)}/labels", {"rows": list(rows)}, key)


def _of_file(progress: FileProgress, path: Path) -> Callable[[int, int], None]:
    return lambda sent, size: progress(path, sent, size)


def _path(model: str) -> str:
    return f"{API}/models/{quote(model, safe='')}"
