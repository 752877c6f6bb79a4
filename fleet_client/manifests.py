"""Manifests: rollouts that are kept in files. The hub reads the YAML; here it is only text."""

from typing import Any
from urllib.parse import quote

from fleet_client.http import API, Http


class Manifests:
    """`client.manifests`. Every method raises `HubUnreachable`, `HubRefused` or `AnswerWrong`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def schema(self, kind: str = "rollout") -> dict[str, Any]:
        """The JSON Schema of manifests of `kind`, in lower case."""
        return self._http.get(dict[str, Any], f"{API}/schemas/{quote(kind, safe='')}.json")
