"""Each test has a console of its own, of a busy fleet, and a browser that shows where it is sent. All share the
templates' code: to make it takes longer than most tests."""

from collections.abc import Iterator
from functools import partial

import pytest
from fastapi.testclient import TestClient
from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket

from cloud_hub.console import render
from tests.fakes.console_server import HTML, NOW, app_of
from tests.fakes.paper_fleet import busy_hub
from tests.fakes.paper_hub.hub import FakeHub


class Remembered(BytecodeCache):
    """Code by what it was made of: one that changed is made anew."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if (known := self._known.get((bucket.key, bucket.checksum))) is not None:
            bucket.bytecode_from_string(known)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._known[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "Environment", partial(Environment, bytecode_cache=Remembered()))
        yield


@pytest.fixture
def hub() -> FakeHub:
    return busy_hub(lambda: NOW)


@pytest.fixture
def browser(hub: FakeHub) -> Iterator[TestClient]:
    with TestClient(app_of(hub), headers=HTML, follow_redirects=False) as browser:
        yield browser
