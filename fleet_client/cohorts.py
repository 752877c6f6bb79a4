"""Saved cohorts: selectors with a name."""

import os
from urllib.parse import quote

from fleet_client.http import API, Http
from fleet_client.views import SavedCohort

_PATH = f"{API}/cohorts"


class Cohorts:
    """`client.cohorts`. Every method raises `HubUnreachable`, `HubRefused` or `AnswerWrong`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(self, *, counted: bool = False) -> list[SavedCohort]:
        """By name; `counted`: each with how many devices it means now."""
        return self._http.get(list[SavedCohort], _PATH, {"counted": "true" if counted else None})

    def get(self, name: str) -> SavedCohort:
        """With how many devices it means now."""
        return self._http.get(SavedCohort, _one(name))

    def create(self, name: str, selector: str, *, key: str | None = None) -> SavedCohort:
        """Saves `selector` as `name`; it is referred to as cohort:NAME. `key` names the request: asked again with the
        same, the hub answers with the cohort that it saved."""
        return self._http.send(
            SavedCohort, "POST", _PATH, {"name": name, "selector": selector}, key or os.urandom(16).hex()
        )

    def replace(self, name: str, selector: str, *, seen: int | None = None) -> SavedCohort:
        """Has it mean `selector` from now on, if it is still at the revision that was `seen`; rollouts that exist keep
        what it said."""
        return self._http.send(SavedCohort, "PUT", _one(name), {"selector": selector}, seen=seen)

    def delete(self, name: str, *, seen: int | None = None) -> SavedCohort:
        """Gives what it was; refused while another cohort refers to it."""
        return self._http.send(SavedCohort, "DELETE", _one(name), None, seen=seen)


def _one(name: str) -> str:
    return f"{_PATH}/{quote(name, safe='')}"
