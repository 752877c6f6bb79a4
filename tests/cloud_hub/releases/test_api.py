"""Models and versions over HTTP."""

from collections.abc import Iterator

import msgspec
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloud_hub import problems
from cloud_hub.releases import api
from fleet_contract.encoding import encode
from fleet_contract.manifest import Golden, sign_manifest
from fleet_contract.signing import PrivateKey
from tests.fakes.paper_gateways import PaperGateways
from tests.fakes.releases import a_manifest


@pytest.fixture
def http(fleet: PaperGateways) -> Iterator[TestClient]:
    app = FastAPI()
    problems.install(app)
    app.include_router(api.router(fleet.releases), prefix="/api/v1")
    with TestClient(app) as client:
        yield client


def test_a_version_is_registered_shown_and_listed(http: TestClient, fleet: PaperGateways) -> None:
    golden = Golden(fleet.blob("golden"), 8, 0.9, 0.5)
    manifest = msgspec.json.decode(encode(a_manifest(0, artifact=fleet.blob("weights"), golden=golden)))
    answer = http.post(
        "/api/v1/models/digits/versions", json={"notes": "First.", "artifacts": [{"manifest": manifest}]}
    )
    assert answer.status_code == 201, answer.text
    version = answer.json()
    assert (version["version"], version["artifacts"][0]["manifest"]["version"]) == (1, 1)
    assert http.get("/api/v1/models/digits/versions/1").json() == version
    assert http.get("/api/v1/models/digits/versions").json()["items"] == [version]
    assert http.get("/api/v1/models").json()["items"] == [http.get("/api/v1/models/digits").json()]


def test_a_foreign_signature_is_refused(http: TestClient, fleet: PaperGateways) -> None:
    foreign = msgspec.json.decode(encode(sign_manifest(a_manifest(1), PrivateKey(b"x" * 32))))
    answer = http.post("/api/v1/models/digits/versions", json={"artifacts": [{"signed": foreign}]})
    assert (answer.status_code, answer.json()["code"]) == (422, "signature-wrong")


def test_both_or_neither_of_manifest_and_signed_are_refused(http: TestClient) -> None:
    for artifact in ({}, {"manifest": {}, "signed": {}}):
        answer = http.post("/api/v1/models/digits/versions", json={"artifacts": [artifact]})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


def test_the_unknown_is_not_found(http: TestClient) -> None:
    assert http.get("/api/v1/models/nothing").json()["code"] == "model-unknown"
    assert http.get("/api/v1/models/nothing/versions/1").json()["code"] == "model-unknown"
