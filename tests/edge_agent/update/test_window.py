"""A device that must not switch by day: it has everything ready, and switches when the night comes."""

from datetime import UTC, datetime
from pathlib import Path

from edge_agent.core.maintenance import Wall
from fleet_contract.report import ModelReport, Phase
from fleet_contract.window import MaintenanceWindow
from tests.fakes.blob_server import BlobServer
from tests.fakes.device import Device, running
from tests.fakes.tiny_models import Build, a_build, a_golden_set, scores_of

NIGHT = MaintenanceWindow((), "01:00", "05:00")
BY_DAY = Wall(datetime(2026, 11, 27, 14, 0, tzinfo=UTC))
BY_NIGHT = Wall(datetime(2026, 11, 28, 1, 0, tzinfo=UTC))


def waits(device: Device, build: Build, wall: Wall | None = BY_DAY) -> ModelReport:
    """What a device says that runs version 1, once it has `build` ready and waits."""
    device.updater.go_by(lambda: wall)
    device.order(a_build(1))
    device.until_settled(1)
    device.order(build, window=NIGHT)
    device.until_because("window-closed")
    return device.model()


def test_it_has_all_ready_and_goes_on_with_what_ran_and_says_when_it_will_switch(
    tmp_path: Path, server: BlobServer
) -> None:
    with running(tmp_path, server) as device:
        said = waits(device, a_build(2))
        assert said.phase is Phase.PREFLIGHT
        assert said.because.sentence == (
            "Version 2 has passed its pre-flight, and its maintenance window (every day 01:00-05:00) opens on "
            "Saturday, 2026-11-28 at 01:00 local time (UTC)."
        )
        assert device.running() == 1


def test_it_switches_when_the_window_opens_with_no_network(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        waits(device, a_build(2))
        server.status = 503
        device.updater.go_by(lambda: BY_NIGHT)
        device.until_settled(2)


def test_it_waits_after_a_reboot_too_and_switches_then(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        waits(device, a_build(2))
    server.status = 503
    with running(tmp_path, server) as device:
        device.updater.go_by(lambda: BY_DAY)
        device.until(lambda: device.running() == 1)
        device.until_because("window-closed")
        device.updater.go_by(lambda: BY_NIGHT)
        device.until_settled(2)


def test_what_the_disk_has_damaged_while_it_waited_is_fetched_again_and_not_rejected(
    tmp_path: Path, server: BlobServer
) -> None:
    build = a_build(2)
    with running(tmp_path, server) as device:
        waits(device, build)
        (tmp_path / "artifacts" / build.manifest.artifact.digest.removeprefix("sha256:")).write_bytes(
            b"?" * build.manifest.artifact.size_bytes
        )
        device.updater.go_by(lambda: BY_NIGHT)
        device.until_settled(2)


def test_a_version_that_is_no_good_here_is_rejected_by_day(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        device.updater.go_by(lambda: BY_DAY)
        device.order(a_build(2, golden=a_golden_set(scores_of(3))), window=NIGHT)
        device.until_rejected("golden-disagrees")


def test_a_way_back_does_not_wait(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        waits(device, a_build(2))
        device.order(a_build(1))
        device.until_settled(1)


def test_a_device_that_does_not_know_the_time_waits_and_says_so(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        assert "clock is wrong" in waits(device, a_build(2), None).because.sentence
