"""A device keeps the inputs that are worth having, tells its hub of each exactly once, and is never harmed by it."""

import hashlib
import json
import os
import re
import signal
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from edge_agent.capture.listing import look
from fleet_client.demo.programs import free_port
from tests.built import Digits
from tests.fleet.world import NO_GATES, PATIENCE_SECONDS, Agent, AgentFactory, Hub, eventually, rolled_out

pytestmark = pytest.mark.timeout(1200)
QUOTA_BYTES = 1 << 20
#: So much an hour that the disk is what bounds it.
CAPTURE = f"""
[capture]
max_bytes = {{max_bytes}}
bytes_per_hour = {1 << 40}
random_share = {{random_share}}
low_margin = 0.3
"""
SAMPLES = "SELECT count(*), count(DISTINCT capture), count(DISTINCT (device, boot, sequence)) FROM samples"


def captures(agent: Agent) -> list[Path]:
    """The oldest first."""
    return sorted((agent.state / "captures").glob("*.npz"))


def names(agent: Agent) -> set[str]:
    """By which the hub knows them."""
    return {path.stem.partition("-")[2] for path in captures(agent)}


def in_lake(hub: Hub) -> dict[str, str]:
    """Of each capture that the hub was told of, why it was kept."""
    found = hub.client.lake.query("SELECT capture, reason FROM samples", limit=10_000).rows
    return dict(found)


def assert_whole(path: Path) -> None:
    """The file holds what was written: its name says what."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name.endswith(f"-{digest}.npz")
    with np.load(path) as archive:
        assert archive["inputs/pixels"].shape[0] == 1


def test_inputs_that_are_worth_having_are_kept_and_the_hub_hears_of_each_once(
    hub: Hub, agent: AgentFactory, digits: Digits
) -> None:
    one = agent("press-07", more=CAPTURE.format(max_bytes=1 << 30, random_share=0.1))
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    eventually(lambda: {"random", "low-margin"} <= set(in_lake(hub).values()), "records of both kinds come")
    kept = len(captures(one))
    one.stop()
    one.start()
    eventually(lambda: len(captures(one)) > kept + 10, "it goes on after a restart")
    config = one.gateway.config.read_text()
    one.gateway.config.write_text(re.sub(r"max_bytes = \d+", "max_bytes = 0", config))
    os.kill(one.child.pid, signal.SIGHUP)
    eventually(lambda: set(in_lake(hub)) == names(one), "it captures no more, and the hub has heard of all of them")
    assert tuple(hub.client.lake.query(SAMPLES).rows[0]) == (len(names(one)),) * 3
    for path in captures(one):
        assert_whole(path)
    for found in look(one.state / "captures"):
        assert found.about is not None
        assert (found.about.model, found.about.version) == ("digits", 1)
        assert 0 < found.about.confidence <= 1
        if found.about.reason == "low-margin":
            assert found.about.margin < 0.3


def ask(port: int, value: float) -> None:
    """An application asks the model, and has its answer."""
    pixels = {"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [value] * 64}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v2/models/digits/infer", json.dumps({"inputs": [pixels]}).encode()
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        assert json.load(response)["outputs"]


def test_what_applications_ask_is_kept_as_they_sent_it(hub: Hub, agent: AgentFactory, digits: Digits) -> None:
    port = free_port()
    more = CAPTURE.format(max_bytes=1 << 30, random_share=1.0) + f"[serving]\ntcp_port = {port}\n"
    one = agent("press-07", more=more, rate_per_second=0.1)
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    eventually(lambda: one.seen().captures is not None, "it captures")
    for value in range(100, 140):
        ask(port, value)
    values: set[float] = set()

    def kept() -> bool:
        for path in captures(one):
            with np.load(path) as archive:
                rows = archive["inputs/pixels"]
                assert rows.min() == rows.max() or rows.max() <= 16, "nothing is half of one and half of another"
                values.add(float(rows.max()))
        return set(range(100, 140)) <= values

    eventually(kept, lambda: f"all are kept; {sorted(values)} are")


def test_records_on_which_a_shadow_disagrees_are_kept_with_both_labels(
    hub: Hub, agent: AgentFactory, digits: Digits
) -> None:
    one = agent("press-07", more=CAPTURE.format(max_bytes=1 << 30, random_share=0.0), rate_per_second=20)
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    # It has only seen half of the digits.
    hub.client.models.register(digits.worse)
    at_once = {"waves": [{"percent": 100}], "soak_seconds": 0, "minimum_records": 0, "gates": NO_GATES, "rate": None}
    hub.client.rollouts.create("digits", 2, at_once, slot="shadow")
    eventually(lambda: "disagreement" in set(in_lake(hub).values()), "the two disagree")
    rows = hub.client.lake.query(
        "SELECT version, beside_version, label, beside FROM samples WHERE reason = 'disagreement'"
    ).rows
    for version, beside_version, label, beside in rows:
        assert (version, beside_version) == (1, 2)
        assert label != beside


def test_the_quota_holds_and_the_oldest_go(hub: Hub, agent: AgentFactory, digits: Digits) -> None:
    one = agent("press-07", more=CAPTURE.format(max_bytes=QUOTA_BYTES, random_share=1.0), rate_per_second=200)
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    most = QUOTA_BYTES // 4096
    eventually(lambda: len(captures(one)) == most, lambda: f"it is full; it has {len(captures(one))} files")
    first = captures(one)[0]
    eventually(lambda: not first.exists(), "the oldest goes")
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert len(captures(one)) <= most
    eventually(lambda: one.seen().spool is not None and len(in_lake(hub)) > most, "the hub was told of all")


def test_a_device_that_is_killed_as_it_captures_has_no_damaged_file_and_no_sample_without_one(
    hub: Hub, agent: AgentFactory, digits: Digits
) -> None:
    one = agent("press-07", more=CAPTURE.format(max_bytes=1 << 30, random_share=1.0), rate_per_second=200)
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    for _ in range(4):
        before = len(captures(one))
        eventually(lambda before=before: len(captures(one)) > before + 5, "it captures", pause=0.01)
        one.kill()
        for path in captures(one):
            assert_whole(path)
        one.start()
    one.online()
    eventually(lambda: len(in_lake(hub)) > 50, "the hub hears of them")
    one.stop()
    assert set(in_lake(hub)) <= names(one)
    assert not list((one.state / "captures").glob("*.new")), "what a kill has left was swept"
    count, captured, _ = hub.client.lake.query(SAMPLES).rows[0]
    assert count == captured, "each once"
