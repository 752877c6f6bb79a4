"""The published JSON Schema: valid, generated from what validates, and true of every example we print."""

import re
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from cloud_hub import problems
from cloud_hub.manifests import api
from cloud_hub.manifests.kinds import KINDS
from cloud_hub.manifests.reading import read
from cloud_hub.manifests.service import ManifestService
from cloud_hub.manifests.source import Lines, documents
from cloud_hub.rollouts.policy import Gates, Policy

ROOT = Path(__file__).parents[3]
EXAMPLES = [
    (path.name, block)
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for block in re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    if "apiVersion: vedette/" in block
]


@pytest.fixture
def http() -> TestClient:
    app = FastAPI()
    problems.install(app)
    app.include_router(api.router(cast("ManifestService", None)), prefix="/api/v1")
    return TestClient(app)


def schema_of(http: TestClient, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/api/v1/schemas/{kind.lower()}.json").json()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_a_valid_one_and_names_what_it_is_for(http: TestClient, kind: str) -> None:
    schema = schema_of(http, kind)
    Draft202012Validator.check_schema(schema)
    assert schema["properties"]["kind"]["const"] == kind


def test_there_is_no_schema_of_an_unknown_kind(http: TestClient) -> None:
    answer = http.get("/api/v1/schemas/pod.json")
    assert (answer.status_code, answer.json()["code"]) == (404, "manifest-kind-unknown")


def test_the_documentation_has_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize(("page", "text"), EXAMPLES)
def test_an_example_of_the_documentation_is_true(http: TestClient, page: str, text: str) -> None:
    assert read([(page, text)])
    for node in documents(Lines(page, text), text)[0]:
        value = node.plain()
        Draft202012Validator(schema_of(http, value["kind"])).validate(value)


def test_the_guide_names_every_field_of_a_policy_and_every_tolerance() -> None:
    guide = (ROOT / "docs" / "rollouts.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", guide, re.MULTILINE))
    assert set(Policy.model_fields) | set(Gates.model_fields) <= set(rows)
    for name, value in Policy().model_dump().items():
        if isinstance(value, (int, float)):
            assert rows[name].startswith(f"{value:g} |"), name
    for name, gate in Gates().model_dump().items():
        for field, value in gate.items() if isinstance(gate, dict) else ():
            assert f"`{field}: {value}`" in rows[name] or f"`{field}: {value:g}`" in rows[name], name


@pytest.mark.parametrize("wrong", [{"version": "3"}, {"slot": "other"}, {"more": 1}, {"soak_seconds": -1}])
def test_what_the_hub_refuses_the_schema_refuses(http: TestClient, wrong: dict[str, Any]) -> None:
    value = {
        "apiVersion": "vedette/v1",
        "kind": "Rollout",
        "metadata": {"name": "a"},
        "spec": {"model": "digits", "version": 3} | wrong,
    }
    assert not Draft202012Validator(schema_of(http, "Rollout")).is_valid(value)
