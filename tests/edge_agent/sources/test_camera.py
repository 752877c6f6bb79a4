"""The newest frame is given when one is wanted; a camera that is unplugged, silent or stuck is named."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.errors import SourceWrong
from edge_agent.sources.camera import CameraSource, Frames, open_frames
from edge_agent.sources.settings import Camera, Picture
from edge_agent.sources.source import Records
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest
from tests.fakes.waiting import until

MANIFEST = a_manifest(inputs=(Tensor("image", "FP32", (-1, 8, 8, 3)),))


class FakeCamera:
    """Frames that are numbered by their grey, at a pace of its own."""

    live = True

    def __init__(self, pace_seconds: float = 0.002, last: int = 1_000_000) -> None:
        self.number = 0
        self.decoded = 0
        self.closed = False
        self.hang = threading.Event()
        self.let_go = threading.Event()
        self._pace_seconds = pace_seconds
        self._last = last

    def skip(self) -> bool:
        time.sleep(self._pace_seconds)
        if self.hang.is_set():
            self.let_go.wait(30)
        self.number += 1
        return self.number <= self._last

    def read(self) -> np.ndarray | None:
        if not self.skip():
            return None
        self.decoded += 1
        return np.full((16, 16, 3), self.number % 256, np.uint8)

    def close(self) -> None:
        self.closed = True


def records_of(camera: Frames, silent_seconds: float = 10.0) -> tuple[CameraSource, Records]:
    source = CameraSource(Camera("digits", "/dev/fake"), lambda _: camera, silent_seconds)
    return source, source.records(MANIFEST)


def grey_of(records: Records) -> int:
    record = next(records)
    return int(record.inputs["image"].max())


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    camera = FakeCamera()
    yield camera
    camera.let_go.set()


def test_a_frame_is_as_new_as_the_question_and_those_between_are_let_go(camera):
    _, records = records_of(camera)
    grey_of(records)
    until(lambda: camera.number > 20)
    asked_at = camera.number
    assert grey_of(records) > asked_at
    assert camera.decoded == 2
    records.close()
    until(lambda: camera.closed)


def test_a_camera_that_is_unplugged_is_named(camera):
    camera._last = 3
    _, records = records_of(camera)
    with pytest.raises(SourceWrong, match="no more frames"):
        for _ in range(10):
            next(records)
    until(lambda: camera.closed)


def test_a_camera_that_falls_silent_is_named_and_never_blocks_for_long(camera):
    source, records = records_of(camera, silent_seconds=1.5)
    next(records)
    camera.hang.set()
    began = time.monotonic()
    with pytest.raises(SourceWrong, match="no frame for"):
        while time.monotonic() - began < 25:
            asked_at = time.monotonic()
            next(records)
            assert time.monotonic() - asked_at < 15
    # Its thread is lost in the driver: no second one follows it there.
    with pytest.raises(SourceWrong, match="has not come back"):
        source.records(MANIFEST)
    camera.hang.clear()
    camera.let_go.set()
    until(lambda: camera.closed)
    assert next(source.records(MANIFEST)) is not None


def test_a_device_that_is_not_there_is_named_with_what_a_unit_needs():
    with pytest.raises(SourceWrong) as caught:
        open_frames(Camera("digits", "/dev/video-none"))
    assert "It is not there." in str(caught.value)
    assert "DeviceAllow" in str(caught.value)


def test_a_real_video_is_played_over_and_over_in_its_colours(tmp_path: Path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 32))
    for red in (40, 120, 200):
        # OpenCV's order is blue, green, red.
        writer.write(np.full((32, 32, 3), (0, 0, red), np.uint8))
    writer.release()
    source = CameraSource(Camera("digits", str(path), picture=Picture()))
    records = source.records(MANIFEST)
    means = [next(records).inputs["image"][0].mean(axis=(0, 1)) for _ in range(7)]
    assert np.allclose([mean[0] for mean in means], [40, 120, 200, 40, 120, 200, 40], atol=6)
    assert all(mean[1:].max() < 12 for mean in means)
    records.close()


def test_what_is_no_video_is_named(tmp_path):
    (tmp_path / "video.avi").write_bytes(b"no video")
    with pytest.raises(SourceWrong, match="cannot be opened"):
        open_frames(Camera("digits", str(tmp_path / "video.avi")))
