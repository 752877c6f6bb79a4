"""What the API can, the console can: walked route by route, so that no new one is forgotten."""

import pytest
from fastapi.testclient import TestClient

from cloud_hub.app import build
from cloud_hub.folder import DataFolder
from cloud_hub.settings import Settings

#: Where in the console it is done, or seen, what a route of the API is for.
IN_THE_CONSOLE = {
    "GET /api/v1/audit": "GET /audit",
    "GET /api/v1/devices": "GET /devices",
    "GET /api/v1/fleet": "GET /",
    "GET /api/v1/devices/{device}": "GET /devices/lyon-line1-00",
    "PATCH /api/v1/devices/{device}": "POST /devices/lyon-line1-00/labels",
    "POST /api/v1/devices/tokens": "POST /join",
    "GET /api/v1/devices/{device}/events": "GET /devices/lyon-line1-00",
    "GET /api/v1/devices/{device}/ran": "GET /devices/lyon-line1-00?at=2026-11-01T12:00",
    "POST /api/v1/devices/{device}/models/{model}/retry": "POST /devices/gdansk-line1-08/models/vibration/retry",
    "GET /api/v1/models": "GET /models",
    "GET /api/v1/models/{name}": "GET /models/digits",
    "GET /api/v1/models/{name}/versions": "GET /models/digits",
    "GET /api/v1/models/{name}/versions/{version}": "GET /models/digits",
    "POST /api/v1/models/{model}/labels": "POST /labels/count",
    "GET /api/v1/monitoring/series": "GET /models/digits",
    "GET /api/v1/rollouts": "GET /rollouts",
    "POST /api/v1/rollouts": "POST /rollouts/new",
    "POST /api/v1/rollouts/preview": "GET /rollouts/new?model=digits",
    "GET /api/v1/rollouts/{rollout}": "GET /rollouts/digits-3-q7f2",
    "GET /api/v1/rollouts/{rollout}/explain": "GET /rollouts/digits-3-q7f2",
    "GET /api/v1/rollouts/{rollout}/decisions": "GET /rollouts/digits-3-q7f2",
    "GET /api/v1/rollouts/{rollout}/gates": "GET /rollouts/digits-3-q7f2",
    "POST /api/v1/rollouts/{rollout}/approve": "POST /rollouts/digits-3-q7f2/approve",
    "POST /api/v1/rollouts/{rollout}/pause": "POST /rollouts/digits-3-q7f2/pause",
    "POST /api/v1/rollouts/{rollout}/resume": "POST /rollouts/digits-3-q7f2/resume",
    "POST /api/v1/rollouts/{rollout}/abort": "POST /rollouts/digits-3-q7f2/abort",
    "GET /api/v1/freeze": "GET /",
    "PUT /api/v1/freeze": "POST /freeze/on",
    "DELETE /api/v1/freeze": "POST /freeze/off",
    "GET /api/v1/pins": "GET /pins",
    "POST /api/v1/pins": "POST /pins",
    "DELETE /api/v1/pins/{pin}": "POST /pins/pin-1/end",
    "GET /api/v1/cohorts": "GET /cohorts",
    "POST /api/v1/cohorts": "POST /cohorts",
    "GET /api/v1/cohorts/{name}": "GET /cohorts/lyon",
    "PUT /api/v1/cohorts/{name}": "POST /cohorts/lyon",
    "DELETE /api/v1/cohorts/{name}": "POST /cohorts/lyon/delete",
    "POST /api/v1/manifests/diff": "POST /manifests",
    "POST /api/v1/manifests/apply": "POST /manifests/apply",
    "GET /api/v1/schemas/{kind}.json": "GET /manifests",
    "POST /api/v1/lake/query": "GET /lake?sql=SELECT+1",
    "GET /api/v1/lake/tables": "GET /lake",
    "GET /api/v1/health": "GET /",
}
#: Routes that no page is for, and why.
NOT_IN_THE_CONSOLE = {
    "GET /blobs/{digest}": "devices fetch, at an address that an order carries",
    "POST /api/v1/join": "devices join, with a token and a key of their own",
    "PUT /api/v1/blobs/{digest}": "artifacts come from where they are built, by `vedette models register`",
    "POST /api/v1/models/{name}/versions": "artifacts come from where they are built, by `vedette models register`",
}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every "METHOD /path/{of}" that the hub's OpenAPI document has."""
    folder = DataFolder(tmp_path_factory.mktemp("parity") / "data")
    document = build(Settings(), folder, "http://127.0.0.1:8420", 1883).app.openapi()
    return {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}


def test_the_console_can_what_the_api_can(routes: set[str]) -> None:
    forgotten = routes - IN_THE_CONSOLE.keys() - NOT_IN_THE_CONSOLE.keys()
    assert not forgotten, "add a page or a button, and say here where; or a reason to NOT_IN_THE_CONSOLE"
    assert IN_THE_CONSOLE.keys() | NOT_IN_THE_CONSOLE.keys() <= routes, "no place outlives its route"
    assert not IN_THE_CONSOLE.keys() & NOT_IN_THE_CONSOLE.keys()


def test_each_of_its_places_is_there(browser: TestClient) -> None:
    browser.post("/pins", data={"selector": "all", "reason": "under repair", "days": "1"})
    for place in sorted(set(IN_THE_CONSOLE.values())):
        method, _, path = place.partition(" ")
        assert browser.request(method, path).status_code in (200, 303, 409, 412, 422), f"{place} is nowhere"
