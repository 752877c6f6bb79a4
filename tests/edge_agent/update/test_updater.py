"""The updater with everything real around it: ONNX Runtime, sockets, files, threads."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fleet_contract.report import Phase
from tests.fakes.blob_server import BlobServer, serving
from tests.fakes.device import running
from tests.fakes.tiny_models import a_build, images, scores_of


@pytest.fixture
def server():
    with serving() as server:
        yield server


def test_a_first_order_is_fetched_proved_switched_to_and_settles(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_settled(1)
        np.testing.assert_allclose(device.infer(), scores_of(1)[:1], rtol=1e-5)
        state = device.updater.state()
        assert state.generation == 1
        assert (state.refused, state.troubles) == (None, ())
        assert device.model().running == device.model().wanted
        assert device.model().rollout == "r1"


def test_a_switch_takes_well_under_two_seconds(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_settled(1)
        began = time.monotonic()
        device.order(a_build(2))
        device.until(lambda: device.running() == 2)
        assert time.monotonic() - began < 1.0


def test_the_way_there_is_seen_phase_by_phase(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_settled(1)
        phases = [state.models[0].phase for state in device.states if state.models]
        seen = list(dict.fromkeys(phases))
        assert seen == [Phase.FETCHING, Phase.VERIFYING, Phase.PREFLIGHT, Phase.TRIAL, Phase.SETTLED]
        assert all(state.models[0].because.sentence for state in device.states if state.models)


def test_a_revert_needs_no_download(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_settled(1)
        device.order(a_build(2))
        device.until_settled(2)
        assert device.model().previous is not None
        server.status = 503
        device.order(a_build(1))
        device.until_settled(1)


def test_a_device_that_starts_with_no_network_runs_what_it_ran(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_settled(1)
    server.status = 503
    with running(tmp_path, server) as device:
        device.until(lambda: device.running() == 1)
        device.until_settled(1)
        assert device.updater.state().generation == 1


def test_no_record_is_lost_or_answered_by_half_a_model_while_versions_change(
    tmp_path: Path, server: BlobServer
) -> None:
    wrong: list[object] = []
    answered = [0]
    stop = threading.Event()
    with running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_settled(1)

        def ask() -> None:
            while not stop.is_set():
                with device.updater.slot("digits").lease() as loaded:
                    if loaded is None:
                        wrong.append("no model")
                        continue
                    got = loaded.session.run({"image": images(1)})["scores"]
                if not np.allclose(got, scores_of(loaded.manifest.version)[:1], rtol=1e-4):
                    wrong.append(got)
                answered[0] += 1

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for version in (2, 3, 2, 4):
            device.order(a_build(version))
            device.until_settled(version)
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert answered[0] > 100


def test_a_model_that_is_not_wanted_any_more_is_stopped_and_evicted(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        device.order(a_build(1), a_build(1, model="noise"))
        device.until_settled(1)
        device.until_settled(1, "noise")
        device.order(a_build(1, model="noise"))
        device.until(lambda: device.seen() == (Phase.IDLE, None))
        assert device.running() is None
        assert device.running("noise") == 1
        assert device.model().because.code == "not-wanted"


def test_only_what_runs_and_what_ran_before_stays_on_disk(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        for version in (1, 2, 3):
            device.order(a_build(version))
            device.until_settled(version)
        kept = {f"sha256:{path.name}" for path in (tmp_path / "artifacts").iterdir()}
        assert kept == set(a_build(2).blobs) | set(a_build(3).blobs)


def test_a_newer_order_calls_a_download_off(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        server.stall_after = 10
        device.order(a_build(1))
        assert server.stalled.wait(10)
        server.stall_after = None
        began = time.monotonic()
        device.order(a_build(2))
        device.until(lambda: device.running() == 2)
        assert time.monotonic() - began < 2.0


def test_a_stop_does_not_wait_for_a_download(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        server.stall_after = 10
        device.order(a_build(1))
        assert server.stalled.wait(10)
        began = time.monotonic()
    assert time.monotonic() - began < 1.0


def test_a_slow_download_of_one_model_keeps_no_other_from_starting(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_settled(1)
    with running(tmp_path, server, generation=1) as device:
        server.stall_after = 10
        device.order(a_build(1), a_build(2, model="noise"))
        device.until(lambda: device.running() == 1)
        assert server.stalled.wait(10)
        device.infer()


def test_a_repeated_desired_state_changes_nothing(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_settled(1)
        before = len(device.states)
        device.updater.receive((tmp_path / "desired.json").read_bytes())
        time.sleep(0.05)
        assert len(device.states) == before
