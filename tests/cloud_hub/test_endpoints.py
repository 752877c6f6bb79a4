"""Whatever is asked first, the loop that answers all requests reads no file of our code for it."""

import inspect
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, routing
from fastapi.testclient import TestClient

from cloud_hub.app import build
from cloud_hub.folder import DataFolder
from cloud_hub.settings import Settings


def endpoints_of(app: FastAPI) -> list[Callable[..., Any]]:
    found = (getattr(route, "endpoint", None) for route in routing.iter_route_contexts(app.routes))
    return [endpoint for endpoint in found if endpoint is not None]


def test_no_first_request_looks_for_where_its_endpoint_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = inspect.getsourcelines

    def getsourcelines(of: Any) -> Any:
        looked.append(getattr(of, "__name__", str(of)))
        return real(of)

    monkeypatch.setattr(inspect, "getsourcelines", getsourcelines)
    with closing(DataFolder(tmp_path / "data")) as folder:
        app = build(Settings(data=folder.path), folder, "http://testserver", 1).app
        with TestClient(app, base_url="http://127.0.0.1") as client:
            for path in (
                "/healthz",
                "/api/v1/devices",
                "/api/v1/devices/nobody",
                "/api/v1/audit",
                "/devices",
                "/static/x",
            ):
                client.get(path)
    assert looked == []


def test_what_it_is_told_is_what_it_would_find(tmp_path: Path) -> None:
    with closing(DataFolder(tmp_path / "data")) as folder:
        app = build(Settings(data=folder.path), folder, "http://testserver", 1).app
        endpoints = endpoints_of(app)
        assert len(endpoints) > 50
        for endpoint in endpoints:
            told = dict(routing._endpoint_context_cache.pop(id(endpoint)))
            assert told == routing._extract_endpoint_context(endpoint)
