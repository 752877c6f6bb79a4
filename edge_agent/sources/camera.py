"""A camera, a stream or a video file: the newest frame whenever the model is ready for one."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from edge_agent.errors import SourceWrong
from edge_agent.runtimes.session import Array
from edge_agent.sources.picture import Preparation
from edge_agent.sources.settings import Camera
from edge_agent.sources.source import GLANCE_SECONDS, Record, Records
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest

#: A camera that gives no frame for so long is stuck or unplugged.
SILENT_SECONDS = 10.0


class Frames(Protocol):
    """A device that is open. Used by one thread at a time."""

    live: bool
    """Whether frames come at a pace of their own, and are lost when nobody looks."""

    def skip(self) -> bool:
        """Waits for the next frame and lets it go; False when there are no more."""

    def read(self) -> Array | None:
        """The next frame, UINT8 [height, width, 3] in the order red, green, blue; None when there are no more."""

    def close(self) -> None: ...


OpenFrames: TypeAlias = Callable[[Camera], Frames]


class CameraSource:
    """A `Source` of frames. `opener` raises `SourceWrong` when the device cannot be opened."""

    trouble: Because | None = None

    def __init__(
        self, settings: Camera, opener: OpenFrames | None = None, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        self.model = settings.model
        self.rate_per_second = settings.rate_per_second
        self._settings = settings
        self._opener = opener or open_frames
        self._silent_seconds = silent_seconds
        self._grabber: _Grabber | None = None

    def records(self, manifest: Manifest) -> Records:
        preparation = Preparation(self._settings.picture, manifest)
        if self._grabber is not None and self._grabber.stuck():
            # A thread that waits inside the driver cannot be ended, and each further one would be lost in there, too.
            raise SourceWrong(
                f"The driver of {self._settings.device} has not come back from its last call.",
                "Plug the camera in again, or restart the device.",
            )
        frames = self._opener(self._settings)
        return self._grabbed(preparation, frames) if frames.live else self._played(preparation, frames)

    def close(self) -> None:
        """The device goes with the records."""

    def _played(self, preparation: Preparation, frames: Frames) -> Records:
        try:
            while (frame := frames.read()) is not None:
                yield Record(preparation.frame(frame))
        finally:
            frames.close()
        raise SourceWrong(f"{self._settings.device} has no frame.", "Name a video that can be played.")

    def _grabbed(self, preparation: Preparation, frames: Frames) -> Records:
        self._grabber = grabber = _Grabber(frames)
        heard_at = time.monotonic()
        try:
            while True:
                frame = grabber.take(GLANCE_SECONDS)
                if frame is not None:
                    heard_at = time.monotonic()
                    yield Record(preparation.frame(frame))
                elif grabber.ended:
                    raise SourceWrong(f"{self._settings.device} gives no more frames.", "Look at its cable and power.")
                elif (silent := time.monotonic() - heard_at) > self._silent_seconds:
                    raise SourceWrong(
                        f"{self._settings.device} has given no frame for {silent:.0f} s.",
                        "Look at its cable and power.",
                    )
                else:
                    yield None
        finally:
            grabber.close()


class _Grabber:
    """Keeps up with the device on a thread of its own, and decodes only the frames that are asked for."""

    def __init__(self, frames: Frames) -> None:
        self.ended = False
        self._frames = frames
        self._changed = threading.Condition()
        self._wanted = False
        self._closing = False
        self._frame: Array | None = None
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def take(self, timeout_seconds: float) -> Array | None:
        """The next frame from now on, None when none came in time."""
        with self._changed:
            self._wanted = True
            self._changed.wait_for(lambda: self._frame is not None or self.ended, timeout_seconds)
            frame, self._frame = self._frame, None
            return frame

    def close(self) -> None:
        """The device is closed by the thread that uses it, when it comes back from there."""
        self._closing = True
        self._thread.join(GLANCE_SECONDS)

    def stuck(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            more = True
            while more and not self._closing:
                if not self._wanted:
                    more = self._frames.skip()
                    continue
                frame = self._frames.read()
                more = frame is not None
                with self._changed:
                    self._frame, self._wanted = frame, False
                    self._changed.notify_all()
        finally:
            with self._changed:
                self.ended = True
                self._changed.notify_all()
            self._frames.close()


class _Capture:
    """`Frames` of OpenCV."""

    def __init__(self, cv2: Any, capture: Any, live: bool) -> None:
        self.live = live
        self._cv2 = cv2
        self._capture = capture

    def skip(self) -> bool:
        return bool(self._capture.grab())

    def read(self) -> Array | None:
        there, frame = self._capture.read()
        if not there and not self.live:
            self._capture.set(self._cv2.CAP_PROP_POS_FRAMES, 0)
            there, frame = self._capture.read()
        return self._cv2.cvtColor(frame, self._cv2.COLOR_BGR2RGB) if there else None

    def close(self) -> None:
        self._capture.release()


def open_frames(settings: Camera) -> Frames:
    """The device with OpenCV. Raises `SourceWrong`."""
    try:
        import cv2
    except ImportError as error:
        raise SourceWrong(
            f"No camera can be opened on this device: {error}.", "Install the extra `camera` of vedette."
        ) from error
    cv2.setNumThreads(1)
    node = settings.device.startswith("/dev/")
    capture = cv2.VideoCapture(settings.device, cv2.CAP_V4L2 if node else cv2.CAP_FFMPEG)
    if not capture.isOpened():
        capture.release()
        there = "" if not node or Path(settings.device).exists() else " It is not there."
        raise SourceWrong(
            f"{settings.device} cannot be opened.{there}",
            "A device node needs a drop-in for the unit, with PrivateDevices=no, DeviceAllow= and the group `video`.",
        )
    if node:
        for name, value in ((cv2.CAP_PROP_FRAME_WIDTH, settings.width), (cv2.CAP_PROP_FRAME_HEIGHT, settings.height)):
            if value:
                capture.set(name, value)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return _Capture(cv2, capture, node or "://" in settings.device)
