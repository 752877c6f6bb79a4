"""Rollouts: start one, see why it is where it is, hold it, let it go on, take it back.

A verb takes the revision that was `seen`, where it is to act on nothing else: the hub refuses it as "stale" if the
rollout is another by now.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from fleet_client import paging
from fleet_client.http import API, Http
from fleet_client.views import Decision, Explanation, GateReadings, Page, Preview, Rollout


class Rollouts:
    """`client.rollouts`. Every method raises `HubUnreachable`, `HubRefused` or `AnswerWrong`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def page(
        self, *, model: str | None = None, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[Rollout]:
        """A page of rollouts, newest first."""
        query = {"model": model, "state": state}
        return paging.page(self._http, Rollout, f"{API}/rollouts", query, limit, cursor)

    def all(self, *, model: str | None = None, state: str | None = None) -> Iterator[Rollout]:
        return paging.every(self._http, Rollout, f"{API}/rollouts", {"model": model, "state": state})

    def get(self, rollout: str) -> Rollout:
        return self._http.get(Rollout, _path(rollout))

    def decisions(self, rollout: str, *, limit: int = 50, cursor: str | None = None) -> Page[Decision]:
        """A page of what the hub decided on `rollout`, and why."""
        return paging.page(self._http, Decision, f"{_path(rollout)}/decisions", {}, limit, cursor)

    def gates(self, rollout: str) -> tuple[GateReadings, ...]:
        """What each gate measured over the time of `rollout`."""
        return self._http.get(tuple[GateReadings, ...], f"{_path(rollout)}/gates")

    def create(
        self,
        model: str,
        version: int,
        policy: Mapping[str, Any] | None = None,
        *,
        slot: str = "default",
        salt: str | None = None,
        key: str | None = None,
    ) -> Rollout:
        """Starts to roll `version` out. What `policy` leaves out is the hub's default. In the slot "shadow" it runs
        beside the version that answers, on the same inputs, and answers nobody. With the `salt` of a preview, what
        that showed is what happens. `key` names the request: asked again with the same, the hub answers with the
        rollout that it started.

        {"waves": [{"percent": 1}, {"percent": 5}, {"percent": 25}, {"percent": 100}],
        "selector": "site = lyon and not target = tpu", "success_percent": 95, "soak_seconds": 60,
        "minimum_records": 200, "stop_failed_percent": 10, "on_stop": "revert", "gates": {...}}
        """
        body = _wanted(model, version, policy, slot, salt)
        return self._http.send(Rollout, "POST", f"{API}/rollouts", body, key or os.urandom(16).hex())

    def preview(
        self,
        model: str,
        version: int,
        policy: Mapping[str, Any] | None = None,
        *,
        slot: str = "default",
        salt: str | None = None,
        wave: int = 0,
        limit: int = 100,
    ) -> Preview:
        """What each wave would be if it were created now, and the first `limit` devices that `wave`, from 0, adds.
        Starts nothing."""
        body = _wanted(model, version, policy, slot, salt)
        path = f"{API}/rollouts/preview?wave={wave}&limit={limit}"
        return self._http.ask(Preview, path, body)

    def explain(self, rollout: str) -> Explanation:
        """Why it is not moving: every condition of its next step, what holds devices back, why some failed."""
        return self._http.get(Explanation, f"{_path(rollout)}/explain")

    def pause(self, rollout: str, reason: str = "", *, seen: int | None = None) -> Rollout:
        """Holds it: nobody new is offered the version, nobody loses it."""
        return self._verb(rollout, "pause", reason, seen)

    def resume(self, rollout: str, reason: str = "", *, seen: int | None = None) -> Rollout:
        return self._verb(rollout, "resume", reason, seen)

    def abort(self, rollout: str, reason: str = "", *, seen: int | None = None) -> Rollout:
        """Takes the version back from every device that it was offered to."""
        return self._verb(rollout, "abort", reason, seen)

    def approve(self, rollout: str, reason: str = "", *, seen: int | None = None) -> Rollout:
        """Lets the wave open that waits for an approval, or lets stay what no gate can tell any more."""
        return self._verb(rollout, "approve", reason, seen)

    def _verb(self, rollout: str, verb: str, reason: str, seen: int | None) -> Rollout:
        return self._http.send(Rollout, "POST", f"{_path(rollout)}/{verb}", {"reason": reason}, seen=seen)


def _wanted(model: str, version: int, policy: Mapping[str, Any] | None, slot: str, salt: str | None) -> dict[str, Any]:
    body = {"model": model, "version": version, "slot": slot, "policy": dict(policy or {})}
    return {**body, "salt": salt} if salt else body


def _path(rollout: str) -> str:
    return f"{API}/rollouts/{quote(rollout, safe='')}"
