"""An update within what the device's owner allows, and at the pace that its hub asks for."""

import time
from pathlib import Path

import msgspec

from edge_agent.store.quota import Quota
from fleet_contract.report import Phase
from tests.fakes.blob_server import BlobServer
from tests.fakes.device import Device, a_desired, an_assignment, running
from tests.fakes.tiny_models import Build, a_build


def size(*builds: Build) -> int:
    """Of all blobs of `builds`, each once, in bytes."""
    return sum(len(data) for data in {key: data for one in builds for key, data in one.blobs.items()}.values())


def ask_again(device: Device, build: Build, retry: int) -> None:
    device.generation += 1
    assignment = msgspec.structs.replace(an_assignment(build.manifest), retry=retry)
    device.updater.receive(a_desired(device.generation, assignment))


def test_an_order_that_does_not_fit_beside_what_runs_is_refused_by_name_and_taken_once_it_does(
    tmp_path: Path, server: BlobServer
) -> None:
    one, two, three = a_build(1), a_build(2), a_build(3)
    with running(tmp_path, server, quota=Quota(size(one, two, three) - 1)) as device:
        for build in (one, two):
            device.order(build)
            device.until_settled(build.manifest.version)
        asked = len(server.asked)
        device.order(three)
        device.until_rejected("quota-exceeded")
        assert len(server.asked) == asked, "no byte is fetched of what cannot stay"
        assert device.running() == 2
        assert device.infer() is not None
        assert "artifacts_max_bytes" in device.model().because.sentence
        # What ran before is still here.
        server.status = 503
        device.order(one)
        device.until_settled(1)
        server.status = None
        device.order(three)
        device.until_rejected("quota-exceeded")
        device.updater.allow(Quota(size(one, two, three)))
        ask_again(device, three, retry=1)
        device.until_settled(3)


def test_a_bound_below_what_runs_costs_nothing_and_is_said(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_settled(1)
        device.updater.allow(Quota(10))
        device.until(lambda: "quota-exceeded" in {one.code for one in device.updater.state().troubles})
        assert device.running() == 1
    with running(tmp_path, server, quota=Quota(10)) as device:
        device.until(lambda: device.running() == 1)
        assert device.infer() is not None
        device.updater.allow(Quota())
        device.until(lambda: not device.updater.state().troubles)


def test_a_hub_that_is_busy_is_asked_when_it_said(tmp_path: Path, server: BlobServer) -> None:
    server.status, server.headers = 503, {"Retry-After": "2"}
    with running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_because("hub-busy")
        began = time.monotonic()
        asked = len(server.asked)
        server.status = None
        device.until(lambda: len(server.asked) > asked)
        # Without that word it would have been a second at most.
        assert time.monotonic() - began > 1.5
        device.until_settled(1)


def test_one_that_brings_a_little_each_time_is_not_left_alone_for_longer_and_longer(
    tmp_path: Path, server: BlobServer
) -> None:
    build = a_build(1)
    with running(tmp_path, server) as device:
        server.cut_after = len(build.artifact) // 5
        device.order(build)
        digest = build.manifest.artifact.digest
        device.until(lambda: len(server.served(digest)) >= 6)
        server.cut_after = None
        starts = [one.range for one in server.served(digest)]
        assert len(set(starts)) == len(starts), "each begins where the last ended"
        device.until_settled(1)
        assert device.seen() == (Phase.SETTLED, 1)
