"""A disk that is full, or has changed what lies on it: the device goes on with what it has, and gets the rest anew."""

from pathlib import Path

import pytest

from edge_agent.failures import ArtifactRejected
from fleet_contract.encoding import encode
from tests.fakes.blob_server import BlobServer
from tests.fakes.device import running
from tests.fakes.full_disk import FullDisk
from tests.fakes.tiny_models import Build, a_build


class TestAFullDisk:
    def test_is_a_trouble_while_inference_goes_on_and_the_update_follows_when_there_is_room(
        self, tmp_path: Path, server: BlobServer
    ) -> None:
        disk = FullDisk()
        with running(tmp_path, server, disk=disk) as device:
            device.order(a_build(1))
            device.until_settled(1)
            disk.room_bytes = 0
            device.order(a_build(2))
            device.until(lambda: "disk-full" in {one.code for one in device.updater.state().troubles})
            assert device.infer() is not None
            assert device.running() == 1
            disk.room_bytes = None
            device.until_settled(2)
            assert not device.updater.state().troubles

    def test_that_fills_in_the_middle_of_a_download_is_one_too(self, tmp_path: Path, server: BlobServer) -> None:
        disk = FullDisk(claims_room=True)
        with running(tmp_path, server, disk=disk) as device:
            build = a_build(2)
            disk.room_bytes = 64 * 1024
            big = a_build(2, artifact=b"x" * 100 * 1024)
            device.order(big)
            device.until_because("disk-full")
            disk.room_bytes = None
            device.until_rejected("model-unreadable")
            device.order(build)
            device.until_settled(2)

    def test_keeps_no_device_from_starting_what_it_ran(self, tmp_path: Path, server: BlobServer) -> None:
        with running(tmp_path, server) as device:
            device.order(a_build(1))
            device.until_settled(1)
        with running(tmp_path, server, disk=FullDisk(0), generation=1) as device:
            device.until(lambda: device.running() == 1)
            device.order(a_build(2))
            device.until(lambda: device.updater.state().generation == 2)
            assert device.infer() is not None
            assert device.running() == 1


def damaged(folder: Path, build: Build) -> Path:
    """Where the artifact of `build` lies, after the disk has changed a bit of it."""
    path = folder / "artifacts" / build.manifest.artifact.digest.removeprefix("sha256:")
    path.write_bytes(build.artifact[:-1] + bytes([build.artifact[-1] ^ 1]))
    return path


class TestAStateFolderThatWasDamaged:
    def test_starts_a_model_afresh_when_its_journal_is_unreadable(self, tmp_path: Path, server: BlobServer) -> None:
        with running(tmp_path, server) as device:
            device.order(a_build(1))
            device.until_settled(1)
        (tmp_path / "journals" / "digits.json").write_bytes(b"{")
        server.status = 503
        with running(tmp_path, server) as device:
            device.until_settled(1)
            assert "journal-unreadable" in {one.code for one in device.updater.state().troubles}

    def test_goes_on_with_what_ran_when_the_desired_state_is_unreadable(
        self, tmp_path: Path, server: BlobServer
    ) -> None:
        with running(tmp_path, server) as device:
            device.order(a_build(1))
            device.until_settled(1)
        (tmp_path / "desired.json").write_bytes(encode({"signed": 1}))
        with running(tmp_path, server, generation=1) as device:
            device.until(lambda: device.running() == 1)
            assert "desired-unreadable" in {one.code for one in device.updater.state().troubles}
            device.order(a_build(2))
            device.until_settled(2)
            assert not device.updater.state().troubles

    def test_fetches_an_artifact_that_has_rotted(self, tmp_path: Path, server: BlobServer) -> None:
        build = a_build(1)
        with running(tmp_path, server) as device:
            device.order(build)
            device.until_settled(1)
        path = damaged(tmp_path, build)
        with running(tmp_path, server) as device:
            device.until_settled(1)
            assert path.read_bytes() == build.artifact
            # Whoever owns the disk should hear of it, also when all is well again before anybody could report.
            (trouble,) = device.updater.state().troubles
            assert trouble.code == "artifact-damaged"
            assert trouble.sentence.startswith("1 of the files that were safe on this device's disk")

    def test_fetches_one_that_has_rotted_while_it_had_given_its_memory_back(
        self, tmp_path: Path, server: BlobServer
    ) -> None:
        build = a_build(1)
        with running(tmp_path, server) as device:
            device.order(build)
            device.until_settled(1)
            assert device.updater.slot("digits").park()
            path = damaged(tmp_path, build)
            with pytest.raises(ArtifactRejected, match="has changed on disk"):
                device.infer()
            device.until(lambda: path.exists() and path.read_bytes() == build.artifact)
            device.until_settled(1)
            assert device.infer() is not None

    def test_reads_what_it_goes_back_to_from_the_disk_once_more(self, tmp_path: Path, server: BlobServer) -> None:
        first = a_build(1)
        with running(tmp_path, server) as device:
            for build in (first, a_build(2)):
                device.order(build)
                device.until_settled(build.manifest.version)
            path = damaged(tmp_path, first)
            device.order(first)
            device.until_settled(1)
            assert path.read_bytes() == first.artifact
