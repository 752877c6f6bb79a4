"""A server that fails ends the benchmark, and is named."""

import sys
import time
from pathlib import Path

import pytest

from benchmarks import servers
from benchmarks.nets import NETS
from benchmarks.servers import Client, Server, ServerFailed, client

REQUEST = {"url": "http://127.0.0.1:9/", "http": 1, "headers": {}, "body": "/dev/null", "answer_bytes": 1}
#: What a client in `benchmarks/peers` does: a line of what it sends, then a line for each that it is told.
SCRIPT = """
import json, sys, time
print(json.dumps({{"small": {request}}}), flush=True)
for line in sys.stdin:
    {then}
"""


def a_server(folder: Path, then: str) -> Server:
    script = folder / "client.py"
    script.write_text(SCRIPT.format(request=REQUEST, then=then))
    return Server("mute", (sys.executable, script))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_GRACE_SECONDS", 0.3)


@pytest.mark.parametrize("asks", [lambda one: one.check(NETS[0]), lambda one: one.latency_us(NETS[0], 0.1)])
def test_one_that_hangs_in_the_middle_of_a_run_is_named_and_waited_for_no_longer(tmp_path: Path, asks) -> None:
    began = time.monotonic()
    with pytest.raises(ServerFailed, match="mute hangs: told 'small"), client(a_server(tmp_path, "pass")) as one:
        asks(one)
    assert time.monotonic() - began < 30


def test_one_that_hangs_before_its_first_answer_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_START_SECONDS", 0.3)
    server = a_server(tmp_path, "pass")
    Path(str(server.client[1])).write_text("import time; time.sleep(60)")
    with pytest.raises(ServerFailed, match="mute hangs"), client(server):
        pass


def test_one_whose_client_ends_is_named_with_what_it_said(tmp_path: Path) -> None:
    told = "raise AssertionError('wrong scores')"
    with pytest.raises(ServerFailed, match=r"(?s)mute: .*wrong scores"), client(a_server(tmp_path, told)) as one:
        one.check(NETS[0])


def test_a_load_that_is_not_answered_names_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> float:
        raise servers.LoadFailed("Not one request was answered.")

    monkeypatch.setattr(servers, "rate", fails)
    with (
        pytest.raises(ServerFailed, match="mute, small: Not one request was answered"),
        client(a_server(tmp_path, "print('{}', flush=True)")) as one,
    ):
        one.rate(NETS[0], 8, 1.0)


def test_a_client_that_does_not_end_is_ended(tmp_path: Path) -> None:
    one = Client(a_server(tmp_path, "pass\ntime.sleep(60)"))
    one.ready()
    one.stop()
    assert one._process.returncode is not None
