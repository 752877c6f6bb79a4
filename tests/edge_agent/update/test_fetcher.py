"""Downloads side by side: none keeps another waiting for long, and none that is not wanted any more goes on."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.core.steps import Fetch
from edge_agent.store.artifacts import ArtifactStore
from edge_agent.store.disk import Disk
from edge_agent.store.quota import Quota
from edge_agent.update.fetcher import PARALLEL, Fetcher
from fleet_contract.manifest import Blob, Golden
from tests.fakes.blob_server import BlobServer, serving
from tests.fakes.releases import a_manifest, blob_of

DATA = {f"m{number}": f"the artifact of m{number}".encode() * 1000 for number in range(5)}
GOLDEN = blob_of(b"golden")


def fetch_of(model: str, query: str = "") -> Fetch:
    blob = blob_of(DATA[model])
    manifest = a_manifest(model=model, artifact=blob, golden=Golden(GOLDEN, 8, 0.9, 0.5))
    return Fetch(manifest, blob, f"/blobs/{blob.digest}{query}")


@pytest.fixture
def server() -> Iterator[BlobServer]:
    with serving({blob_of(data).digest: data for data in DATA.values()}) as server:
        yield server


class Bench:
    """A fetcher with a clock that stands still until it is moved."""

    def __init__(self, folder: Path, server: BlobServer, quota: Quota) -> None:
        self.seconds = 1000.0
        self.store = ArtifactStore(folder, Disk(), quota)
        self.ended = threading.Event()
        self.fetcher = Fetcher(
            self.store, server.url, self.ended.set, monotonic=lambda: self.seconds, turn_seconds=60.0
        )
        self.server = server

    def until(self, what: Callable[[], object]) -> None:
        deadline = time.monotonic() + 90
        while not what():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def asked(self, *models: str) -> bool:
        return all(self.server.served(blob_of(DATA[model]).digest) for model in models)

    def whole(self, *models: str) -> bool:
        return all(self.store.is_whole(blob_of(DATA[model])) for model in models)


@pytest.fixture
def bench(tmp_path: Path, server: BlobServer) -> Iterator[Bench]:
    bench = Bench(tmp_path, server, Quota())
    yield bench
    bench.fetcher.aim(())


def test_as_many_as_may_run_at_once_and_the_next_when_one_ends(bench: Bench) -> None:
    fetches = [fetch_of(model) for model in DATA]
    bench.server.stall_after = 10
    bench.fetcher.aim(fetches)
    bench.until(lambda: bench.asked("m0", "m1"))
    assert len(bench.server.asked) == PARALLEL == 2
    bench.server.stall_after = None
    bench.server.let_go.set()
    for _ in range(200):
        bench.fetcher.aim([one for one in fetches if not bench.store.is_whole(one.blob)])
        bench.fetcher.results()
        if bench.whole(*DATA):
            return
        bench.seconds += 1.0
        time.sleep(0.01)
    raise AssertionError("not all came")


def test_a_slow_one_gives_way_after_its_turn_and_goes_on_later_from_where_it_was(bench: Bench) -> None:
    slow, other, last = (fetch_of(model) for model in ("m0", "m1", "m2"))
    bench.server.stall_after = 10
    bench.fetcher.aim([slow, other, last])
    bench.until(lambda: bench.asked("m0", "m1"))
    bench.until(bench.server.stalled.is_set)
    time.sleep(0.1)
    bench.fetcher.aim([slow, other, last])
    assert not bench.asked("m2")
    bench.server.stall_after = None
    bench.seconds += 60.0
    bench.fetcher.aim([slow, other, last])
    bench.until(bench.ended.is_set)
    assert bench.whole("m2")
    assert [one.fetch for one in bench.fetcher.results()] == [last]
    bench.fetcher.aim([slow, other])
    bench.until(lambda: bench.whole("m0"))
    assert [one.range for one in bench.server.served(slow.blob.digest)] == ["", "bytes=10-"]


def test_what_waited_longest_is_next(bench: Bench) -> None:
    fetches = [fetch_of(model) for model in DATA]
    bench.server.stall_after = 10
    for turn in range(4):
        bench.fetcher.aim(fetches)
        bench.until(lambda turn=turn: len(bench.server.asked) >= PARALLEL + turn)
        bench.seconds += 60.0
    assert len({one.path for one in bench.server.asked}) == 5


def test_what_is_not_wanted_any_more_is_called_off(bench: Bench) -> None:
    bench.server.stall_after = 10
    bench.fetcher.aim([fetch_of("m0"), fetch_of("m1")])
    bench.until(lambda: bench.asked("m0", "m1"))
    bench.server.stall_after = None
    bench.fetcher.aim([fetch_of("m2")])
    bench.until(bench.ended.is_set)
    assert (bench.whole("m2"), bench.whole("m0")) == (True, False)
    assert [one.fetch for one in bench.fetcher.results()] == [fetch_of("m2")]


def test_a_new_link_takes_the_place_of_the_old_one(bench: Bench) -> None:
    bench.server.stall_after = 10
    bench.fetcher.aim([fetch_of("m0")])
    assert bench.server.stalled.wait(90)
    bench.server.stall_after = None
    bench.fetcher.aim([fetch_of("m0", "?signature=2")])
    bench.until(lambda: bench.whole("m0"))
    assert bench.server.asked[-1].path.endswith("?signature=2")


def test_what_would_not_fit_is_not_even_begun(tmp_path: Path, server: BlobServer) -> None:
    bench = Bench(tmp_path, server, Quota(len(DATA["m0"]) + GOLDEN.size_bytes - 1))
    bench.fetcher.aim([fetch_of("m0")])
    bench.until(bench.ended.is_set)
    (result,) = bench.fetcher.results()
    assert result.error is not None
    assert result.error.code == "quota-exceeded"
    assert not server.asked
    bench.store.quota = Quota(len(DATA["m0"]) + GOLDEN.size_bytes)
    bench.fetcher.aim([fetch_of("m0")])
    bench.until(lambda: bench.whole("m0"))


def test_of_two_that_do_not_fit_together_the_second_waits(tmp_path: Path, server: BlobServer) -> None:
    bench = Bench(tmp_path, server, Quota(len(DATA["m0"]) * 3 // 2))
    first, second = fetch_of("m0"), fetch_of("m1")
    bench.fetcher.aim([first])
    bench.until(lambda: bench.whole("m0"))
    bench.fetcher.results()
    bench.ended.clear()
    bench.store.keep({first.blob.digest, second.blob.digest})
    bench.fetcher.aim([second])
    bench.until(bench.ended.is_set)
    (result,) = bench.fetcher.results()
    assert result.error is not None
    assert result.error.code == "quota-full"
    bench.store.keep({second.blob.digest})
    bench.fetcher.aim([second])
    bench.until(lambda: bench.whole("m1"))


def test_what_was_left_of_two_orders_by_a_reboot_does_not_keep_both_from_coming(
    tmp_path: Path, server: BlobServer
) -> None:
    def left(blob: Blob, data: bytes, store: ArtifactStore) -> None:
        with store.part(blob) as part:
            part.write(data[: len(data) * 3 // 4])

    before = ArtifactStore(tmp_path, Disk())
    first, second = fetch_of("m0"), fetch_of("m1")
    left(first.blob, DATA["m0"], before)
    left(second.blob, DATA["m1"], before)
    bench = Bench(tmp_path, server, Quota(len(DATA["m0"]) * 3 // 2))
    bench.store.keep({first.blob.digest, second.blob.digest})
    bench.fetcher.aim([first])
    bench.until(lambda: bench.whole("m0"))
    assert not list(tmp_path.glob(f"{second.blob.digest.removeprefix('sha256:')}*"))
