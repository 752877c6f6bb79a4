"""Artifacts over networks as they are at the edge: real TCP, in namespaces, with what real links do to it."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from edge_agent.core.steps import Fetch
from edge_agent.failures import TryLater
from edge_agent.store.artifacts import ArtifactStore
from edge_agent.store.disk import Disk
from edge_agent.store.download import TIMEOUT_SECONDS, Download
from edge_agent.update.fetcher import Fetcher
from fleet_contract.manifest import Blob, Golden
from tests.fakes.blob_server import BlobServer, serving
from tests.fakes.device import running
from tests.fakes.releases import a_manifest, blob_of
from tests.fakes.tiny_models import a_build, a_linear_model
from tests.live.network import Network, network

pytestmark = [pytest.mark.live, pytest.mark.timeout(1800)]
SIZE = 1_000_000
DATA = random.Random(7).randbytes(SIZE)
#: For where a megabyte takes minutes.
LITTLE = DATA[:200_000]
#: So slow that whatever a test does to the wire happens while there is most of the artifact to come, on a machine that
#: takes seconds to do it, too; and what ends the waiting for the rest.
SLOW, FAST = "500kbit", "100mbit"
#: Well before anybody gives up a connection that is silent.
AT_ONCE_SECONDS = TIMEOUT_SECONDS * 0.75


class CountingDisk(Disk):
    """Counts what is written of downloads."""

    def __init__(self) -> None:
        self.appended = 0

    def append(self, file: BinaryIO, data: bytes) -> None:
        super().append(file, data)
        self.appended += len(data)


@pytest.fixture
def wire() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def server(wire: Network) -> Iterator[BlobServer]:
    with wire.within(wire.hub), serving(host=wire.hub_ip) as server:
        server.etag = lambda data: f'"{len(data)}"'
        yield server


class Gateway:
    """Downloads again and again, as the reconciler does, until all is there."""

    def __init__(self, folder: Path, server: BlobServer, wire: Network, data: bytes = DATA) -> None:
        self.data, self.blob = data, blob_of(data)
        server.blobs[self.blob.digest] = data
        self.disk = CountingDisk()
        self.store = ArtifactStore(folder, self.disk)
        self.server = server
        self.wire = wire
        self.codes: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        with self.wire.within(self.wire.gateway):
            self._thread.start()

    def finish(self, seconds: float = 240) -> None:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), (self.codes, self.come())

    def come(self) -> int:
        return self.disk.appended

    def until(self, what: Callable[[], object], seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, (self.codes, self.come())
            time.sleep(0.01)

    def _run(self) -> None:
        for _ in range(100):
            try:
                Download(f"{self.server.url}/blobs/{self.blob.digest}", self.blob, self.store).run()
            except TryLater as error:
                self.codes.append(error.code)
                time.sleep(0.2)
            else:
                return

    def assert_whole_and_nothing_twice(self) -> None:
        """Each request began where the bytes on disk ended, and no byte was written twice."""
        assert self.disk.appended == len(self.data)
        starts = [int(one.range.removeprefix("bytes=").removesuffix("-") or 0) for one in self.server.asked]
        assert starts == sorted(starts)
        self.store.verify(self.blob)
        assert self.store.path(self.blob.digest).read_bytes() == self.data


@pytest.fixture
def gateway(tmp_path: Path, server: BlobServer, wire: Network) -> Gateway:
    return Gateway(tmp_path, server, wire)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silence of 2 seconds is one of 20."""
    monkeypatch.setattr("edge_agent.store.download.TIMEOUT_SECONDS", 2.0)


def test_with_30_percent_loss_it_comes(wire: Network, server: BlobServer, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, server, wire, LITTLE)
    wire.lossy(0.3)
    gateway.start()
    gateway.finish(1200)
    gateway.assert_whole_and_nothing_twice()


def test_a_cut_of_3_seconds_is_sat_out_on_the_same_connection(wire: Network, gateway: Gateway) -> None:
    wire.capped(SLOW)
    gateway.start()
    gateway.until(lambda: gateway.come() > SIZE // 4)
    wire.cut()
    time.sleep(3)
    wire.mend()
    wire.capped(FAST)
    gateway.finish()
    gateway.assert_whole_and_nothing_twice()
    assert (len(gateway.server.asked), gateway.codes) == (1, [])


def test_a_cable_that_is_out_for_3_seconds_too(wire: Network, gateway: Gateway) -> None:
    wire.capped(SLOW)
    gateway.start()
    gateway.until(lambda: gateway.come() > SIZE // 4)
    wire.unplug()
    time.sleep(3)
    wire.plug()
    wire.capped(FAST)
    gateway.finish()
    gateway.assert_whole_and_nothing_twice()


def test_a_black_hole_is_noticed_and_what_came_before_is_not_fetched_again(
    wire: Network, gateway: Gateway, impatient: None
) -> None:
    wire.capped(SLOW)
    gateway.start()
    gateway.until(lambda: gateway.come() > SIZE // 4)
    wire.cut()
    gateway.until(lambda: gateway.codes)
    wire.mend()
    wire.capped(FAST)
    gateway.finish()
    gateway.assert_whole_and_nothing_twice()
    assert gateway.codes[0] == "broken-off"
    assert set(gateway.codes) <= {"broken-off", "hub-unreachable"}
    assert len(gateway.server.asked) >= 2


def test_a_reset_is_noticed_at_once_and_what_came_before_is_not_fetched_again(wire: Network, gateway: Gateway) -> None:
    wire.capped(SLOW)
    gateway.start()
    for share in (4, 2):
        gateway.until(lambda share=share: gateway.come() > SIZE // share)
        failed = len(gateway.codes)
        wire.reset()
        gateway.until(lambda failed=failed: len(gateway.codes) > failed, AT_ONCE_SECONDS)
        wire.mend()
    wire.capped(FAST)
    gateway.finish()
    gateway.assert_whole_and_nothing_twice()
    assert gateway.codes[0] == "broken-off"
    assert set(gateway.codes) <= {"broken-off", "hub-unreachable"}


def test_what_goes_over_the_wire_is_hardly_more_than_the_artifact(wire: Network, gateway: Gateway) -> None:
    wire.capped(SLOW)
    gateway.start()
    for share in (4, 2):
        gateway.until(lambda share=share: gateway.come() > SIZE // share)
        failed = len(gateway.codes)
        wire.reset()
        gateway.until(lambda failed=failed: len(gateway.codes) > failed, AT_ONCE_SECONDS)
        wire.mend()
    wire.capped(FAST)
    gateway.finish()
    gateway.assert_whole_and_nothing_twice()
    # Headers are 4.6 % of full packets; what was on its way when a connection was reset is lost, up to a window each.
    assert wire.received_bytes() < SIZE * 1.06 + 2 * 64 * 1024


def come_at(folder: Path, blob: Blob) -> float:
    """When the last of it was written, as Unix time."""
    return max(file.stat().st_mtime for file in folder.glob(f"{blob.digest.removeprefix('sha256:')}*"))


def fetch_of(model: str, data: bytes, blob: Blob) -> Fetch:
    manifest = a_manifest(model=model, artifact=blob, golden=Golden(blob_of(b"golden"), 8, 0.9, 0.5))
    return Fetch(manifest, blob, f"/blobs/{blob.digest}")


def test_under_a_cap_of_8_mbit_a_large_artifact_keeps_no_small_one_waiting(
    wire: Network, server: BlobServer, tmp_path: Path
) -> None:
    wire.capped("8mbit")
    big, small = random.Random(1).randbytes(4_000_000), b"small" * 2000
    server.blobs.update({blob_of(data).digest: data for data in (big, small)})
    store = ArtifactStore(tmp_path, Disk())
    one, two = fetch_of("big", big, blob_of(big)), fetch_of("small", small, blob_of(small))
    fetcher = Fetcher(store, server.url, lambda: None)
    with wire.within(wire.gateway):
        began = time.monotonic()
        fetcher.aim([one, two])
    while not (store.is_whole(one.blob) and store.is_whole(two.blob)):
        assert time.monotonic() - began < 240
        time.sleep(0.05)
    # 4 MB at 8 Mbit/s take 4 s at least: the cap is real.
    assert time.monotonic() - began > 3.5
    large, little = (come_at(tmp_path, fetch.blob) for fetch in (one, two))
    assert large - little > 1, "it came while most of the large one was to come"


def padded(version: int, size_bytes: int) -> bytes:
    """A model of a real one's size: the padding is its documentation."""
    text = random.Random(version).randbytes(size_bytes // 2).hex().encode()
    length, digits = len(text), b""
    while length > 127:
        digits, length = digits + bytes([length & 127 | 128]), length >> 7
    return a_linear_model(version) + b"\x32" + digits + bytes([length]) + text


def test_an_update_goes_through_loss_a_cut_and_resets_while_what_runs_goes_on(
    wire: Network, server: BlobServer, tmp_path: Path, impatient: None
) -> None:
    with wire.within(wire.gateway), running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_settled(1)
        build = a_build(2, artifact=padded(2, 400_000))
        wire.capped("250kbit")
        device.order(build)
        digest = build.manifest.artifact.digest
        part = tmp_path / "artifacts" / f"{digest.removeprefix('sha256:')}.part"
        device.until(lambda: part.exists() and part.stat().st_size > 50_000)
        wire.reset()
        device.until_because("broken-off")
        assert device.infer() is not None
        wire.mend()
        wire.lossy(0.1)
        device.until(lambda: part.exists() and part.stat().st_size > 150_000, 240)
        wire.cut()
        time.sleep(3)
        assert device.running() == 1
        assert device.infer() is not None
        wire.mend()
        wire.capped(FAST)
        device.until(lambda: device.running() == 2, 240)
        device.until_settled(2)
        starts = [int(one.range.removeprefix("bytes=").removesuffix("-") or 0) for one in server.served(digest)]
        assert starts == sorted(starts)
        assert 0 not in starts[1:]
