"""The fleet's devices: find them, label them, let new ones join."""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from urllib.parse import quote

from fleet_client import paging
from fleet_client.figures import FleetSummary
from fleet_client.http import API, Http, Query
from fleet_client.views import Device, DeviceEvent, Page, Ran, Retry, Token


class Devices:
    """`client.devices`. Every method raises `HubUnreachable`, `HubRefused` or `AnswerWrong`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def page(
        self,
        *,
        q: str | None = None,
        labels: Mapping[str, str] | None = None,
        select: str | None = None,
        target: str | None = None,
        presence: str | None = None,
        model: str | None = None,
        version: int | None = None,
        phase: str | None = None,
        rollout: str | None = None,
        sort: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Device]:
        """A page of the devices for which all that is given holds; `select` is a selector such as
        "site = lyon and agent < 0.2", and `sort` is a field, with "-" for falling."""
        query = _query(q, labels, select, target, presence, model, version, phase, rollout, sort)
        return paging.page(self._http, Device, f"{API}/devices", query, limit, cursor)

    def all(
        self,
        *,
        q: str | None = None,
        labels: Mapping[str, str] | None = None,
        select: str | None = None,
        target: str | None = None,
        presence: str | None = None,
        model: str | None = None,
        version: int | None = None,
        phase: str | None = None,
        rollout: str | None = None,
        sort: str | None = None,
    ) -> Iterator[Device]:
        """All devices for which all that is given holds, page after page."""
        query = _query(q, labels, select, target, presence, model, version, phase, rollout, sort)
        return paging.every(self._http, Device, f"{API}/devices", query)

    def get(self, device: str) -> Device:
        return self._http.get(Device, _path(device))

    def summary(self) -> FleetSummary:
        """The fleet in counts."""
        return self._http.get(FleetSummary, f"{API}/fleet")

    def events(self, device: str, *, limit: int = 50, cursor: str | None = None) -> Page[DeviceEvent]:
        """A page of what changed on `device`, newest first."""
        return paging.page(self._http, DeviceEvent, f"{_path(device)}/events", {}, limit, cursor)

    def ran(self, device: str, at: datetime | None = None, *, model: str | None = None) -> list[Ran]:
        """What `device` ran at `at` (aware; None: now), put there by whom and on what evidence."""
        query = {"at": at.isoformat() if at else None, "model": model}
        return self._http.get(list[Ran], f"{_path(device)}/ran", query)

    def label(self, device: str, labels: Mapping[str, str | None]) -> Device:
        """Sets `labels`; one that is None is taken away, others stay."""
        return self._http.send(Device, "PATCH", _path(device), {"labels": dict(labels)})

    def retry(self, device: str, model: str, *, slot: str = "default") -> Retry:
        """Has `device` try again the version of `model` that it has rejected."""
        path = f"{_path(device)}/models/{quote(model, safe='')}/retry"
        return self._http.send(Retry, "POST", path, {"slot": slot})

    def token(
        self,
        device: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        target: str | None = None,
        expires_in_seconds: int = 86_400,
        key: str | None = None,
    ) -> Token:
        """A join token that works once, for `device` or for one that the hub names; one for each `key`."""
        wanted = {"device": device, "target": target, "labels": dict(labels or {})}
        given = {name: value for name, value in wanted.items() if value is not None}
        body = {**given, "expires_in_seconds": expires_in_seconds}
        return self._http.send(Token, "POST", f"{API}/devices/tokens", body, key or os.urandom(16).hex())


def _path(device: str) -> str:
    return f"{API}/devices/{quote(device, safe='')}"


def _query(
    q: str | None,
    labels: Mapping[str, str] | None,
    select: str | None,
    target: str | None,
    presence: str | None,
    model: str | None,
    version: int | None,
    phase: str | None,
    rollout: str | None,
    sort: str | None,
) -> Query:
    return {
        "q": q,
        "label": [f"{key}={value}" for key, value in (labels or {}).items()],
        "select": select,
        "target": target,
        "presence": presence,
        "model": model,
        "version": version,
        "phase": phase,
        "rollout": rollout,
        "sort": sort,
    }
