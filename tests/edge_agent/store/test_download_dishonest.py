"""Downloads from what stands between a device and its hub: bodies that drip, never end, change, or are packed."""

import contextlib
import gzip
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.failures import TryLater
from edge_agent.store.artifacts import ArtifactStore
from edge_agent.store.disk import Disk
from edge_agent.store.download import CalledOff, Download
from edge_agent.store.pace import Pace
from provisioning.pki import Authority
from tests.fakes.certificates import server_context
from tests.fakes.raw_server import Answer, RawServer, answering, chunk, head
from tests.fakes.releases import blob_of

DATA = bytes(range(256)) * 64
BLOB = blob_of(DATA)
HALF = len(DATA) // 2
SIZE = len(DATA)
GOOD = head("200 OK", Content_Length=SIZE, ETag='"e1"') + DATA
PATIENT = Pace()
HURRIED = Pace(seconds=0.3, least_bytes=1024)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path, Disk())


def fetch(server: RawServer, store: ArtifactStore, pace: Pace = PATIENT) -> Download:
    return Download(server.url, BLOB, store, pace=pace)


def fails(server: RawServer, store: ArtifactStore, pace: Pace = PATIENT) -> TryLater:
    with pytest.raises(TryLater) as caught:
        fetch(server, store, pace).run()
    return caught.value


def come(store: ArtifactStore) -> int:
    with store.part(BLOB) as part:
        return part.size_bytes


def rest(start: int, end: int = SIZE, etag: str = '"e1"', total: int = SIZE) -> bytes:
    named = head(
        "206 Partial Content", Content_Range=f"bytes {start}-{end - 1}/{total}", Content_Length=end - start, ETag=etag
    )
    return named + DATA[start:end]


def half_a_body(connection: socket.socket) -> None:
    connection.sendall(GOOD[: len(GOOD) - HALF])


def drips(every_seconds: float, before: bytes = GOOD[:200]) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(before)
        while True:
            time.sleep(every_seconds)
            connection.sendall(b"1")

    return answer


def assert_whole(store: ArtifactStore) -> None:
    store.verify(BLOB)
    assert store.path(BLOB.digest).read_bytes() == DATA


def test_goes_on_and_takes_no_byte_twice(store: ArtifactStore) -> None:
    with answering(half_a_body, rest(HALF)) as server:
        error = fails(server, store)
        assert (error.code, error.progressed) == ("broken-off", True)
        fetch(server, store).run()
        assert f"Range: bytes={HALF}-\r\n" in server.requests[1]
    assert_whole(store)


def test_a_server_that_hands_out_slices_is_asked_for_the_next_at_once(store: ArtifactStore) -> None:
    slices = [rest(start, start + 2048) for start in range(HALF, SIZE, 2048)]
    with answering(half_a_body, *slices) as server:
        fails(server, store)
        fetch(server, store).run()
        assert len(server.requests) == 1 + len(slices)
    assert_whole(store)


@pytest.mark.parametrize("etag", ['"e2"', 'W/"e2"'])
def test_a_file_that_changed_midway_is_named_and_never_mixed_with_what_came_before(
    store: ArtifactStore, etag: str, caplog: pytest.LogCaptureFixture
) -> None:
    with answering(half_a_body, rest(HALF, etag=etag), GOOD) as server:
        fails(server, store)
        assert not caplog.records
        fetch(server, store).run()
        assert "Range" not in server.requests[2]
    (said,) = caplog.messages
    assert "another file there by now" in said
    assert f"the {HALF} bytes of {BLOB.digest[:19]} that are here" in said
    assert_whole(store)


def test_a_body_that_ends_early_keeps_what_came(store: ArtifactStore) -> None:
    with answering(head("200 OK", Connection="close") + DATA[:HALF]) as server:
        error = fails(server, store)
    assert error.code == "broken-off"
    assert f"ended after {HALF} of {SIZE} bytes" in str(error)
    assert come(store) == HALF


def test_a_chunked_answer_that_is_short_is_not_asked_for_again_and_again(store: ArtifactStore) -> None:
    with answering(head("200 OK", Transfer_Encoding="chunked") + chunk(b"sorry") + chunk(b"")) as server:
        assert fails(server, store).code == "broken-off"
        assert len(server.requests) == 1


def endless(connection: socket.socket) -> None:
    connection.sendall(head("200 OK", Transfer_Encoding="chunked"))
    while True:
        connection.sendall(chunk(DATA))


def test_a_body_that_never_ends_is_cut_at_the_blobs_size_and_left_alone_for_minutes(store: ArtifactStore) -> None:
    with answering(endless) as server:
        error = fails(server, store)
    assert (error.code, error.progressed) == ("size-wrong", False)
    assert error.after_seconds >= 60
    assert come(store) == 0


def test_a_login_page_is_named_whatever_its_length(store: ArtifactStore) -> None:
    page = head("200 OK", Content_Type="text/html", Content_Length=SIZE) + DATA
    with answering(head("302 Found", Location="/login", Content_Length=0), page) as server:
        assert fails(server, store).code == "captive-portal"
    assert come(store) == 0


@pytest.mark.parametrize(
    ("coding", "packed"), [("gzip", gzip.compress(DATA)), ("deflate", zlib.compress(DATA))], ids=["gzip", "deflate"]
)
def test_what_a_proxy_has_packed_is_unpacked(store: ArtifactStore, coding: str, packed: bytes) -> None:
    with answering(head("200 OK", Content_Encoding=coding, Content_Length=len(packed)) + packed) as server:
        fetch(server, store).run()
    assert_whole(store)


def test_what_is_packed_does_not_unpack_to_more_than_the_blob(store: ArtifactStore) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    with answering(head("200 OK", Content_Encoding="gzip", Content_Length=len(bomb)) + bomb) as server:
        tracemalloc.start()
        try:
            assert fails(server, store).code == "size-wrong"
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 4 * 1024 * 1024, "nor in memory"


@pytest.mark.parametrize(
    ("packed", "code"),
    [
        (b"not gzip at all", "coding-broken"),
        (gzip.compress(DATA)[:-40], "broken-off"),
        (gzip.compress(DATA[:HALF]), "broken-off"),
    ],
    ids=["none", "cut", "half"],
)
def test_what_is_packed_badly_is_named(store: ArtifactStore, packed: bytes, code: str) -> None:
    with answering(head("200 OK", Content_Encoding="gzip", Content_Length=len(packed)) + packed) as server:
        assert fails(server, store).code == code


def test_a_packed_rest_is_no_rest(store: ArtifactStore) -> None:
    packed = gzip.compress(DATA[HALF:])
    bad = head(
        "206 Partial Content",
        Content_Range=f"bytes {HALF}-{SIZE - 1}/{SIZE}",
        Content_Encoding="gzip",
        Content_Length=len(packed),
    )
    with answering(half_a_body, bad + packed, GOOD) as server:
        fails(server, store)
        fetch(server, store).run()
    assert_whole(store)


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.1 200",
        head("200 OK", Content_Length=SIZE),
        head("200 OK", Transfer_Encoding="chunked"),
        GOOD[:300],
    ],
    ids=["headers", "body", "chunk-sizes", "mid-body"],
)
def test_a_server_that_only_drips_is_hung_up_on_wherever_it_does(store: ArtifactStore, before: bytes) -> None:
    with answering(drips(0.05, before)) as server:
        began = time.monotonic()
        error = fails(server, store, HURRIED)
    assert time.monotonic() - began < 30
    assert error.code == "too-slow"
    assert error.after_seconds > 0


def test_one_that_is_slow_and_keeps_the_pace_is_waited_for(store: ArtifactStore) -> None:
    def slow(connection: socket.socket) -> None:
        for start in range(0, len(GOOD), 2048):
            connection.sendall(GOOD[start : start + 2048])
            time.sleep(0.1)

    with answering(slow) as server:
        fetch(server, store, Pace(seconds=0.5, least_bytes=1024)).run()
    assert_whole(store)


def test_one_that_drips_while_it_shakes_hands_is_hung_up_on(store: ArtifactStore) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            # The start of a long handshake record, and then a byte at a time.
            connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
            while True:
                time.sleep(0.05)
                connection.sendall(b"\x00")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        download = Download(f"https://127.0.0.1:{listener.getsockname()[1]}/b", BLOB, store, pace=HURRIED)
        with pytest.raises(TryLater) as caught:
            download.run()
        assert caught.value.code == "too-slow"
    finally:
        listener.close()
        thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize(("years", "remedy"), [(0, ""), (-40, "clock"), (40, "clock")])
def test_over_https_a_server_is_trusted_by_its_certificate_alone(
    store: ArtifactStore, tmp_path: Path, years: int, remedy: str
) -> None:
    ours, other = Authority.make("default"), Authority.make("other")
    context = server_context(tmp_path, ours, datetime.now(UTC) + timedelta(days=365 * years), clients=False)
    with answering(GOOD, tls=context) as server:

        def download(trusts: Authority) -> Download:
            return Download(
                server.url.replace("http:", "https:"),
                BLOB,
                store,
                lambda: ssl.create_default_context(cadata=trusts.certificate),
            )

        for trusts in (ours, other) if years else (other,):
            with pytest.raises(TryLater) as caught:
                download(trusts).run()
            assert caught.value.code == "hub-untrusted"
            assert remedy in caught.value.remedy or trusts is other
        if not years:
            download(ours).run()
            assert_whole(store)


def test_a_server_that_ignores_ranges_costs_what_came_before_only_time(store: ArtifactStore) -> None:
    with answering(half_a_body, GOOD[: len(GOOD) - SIZE + 1000], GOOD) as server:
        fails(server, store)
        error = fails(server, store)
        assert (come(store), error.progressed) == (HALF, False)
        fetch(server, store).run()
        assert f"Range: bytes={HALF}-" in server.requests[2]
    assert_whole(store)


def test_called_off_while_it_drips_it_is_called_off_and_not_slow(store: ArtifactStore) -> None:
    with answering(drips(0.05)) as server:
        it = fetch(server, store, HURRIED)
        threading.Timer(0.1, it.call_off).start()
        with pytest.raises(CalledOff):
            it.run()


@pytest.mark.parametrize("url", ["http://" + "a" * 80 + "/x", "http://127.0.0.1:1/ü", "http://127.0.0.1:1/a b"])
def test_what_cannot_even_be_asked_is_named(store: ArtifactStore, url: str) -> None:
    with pytest.raises(TryLater) as caught:
        Download(url, BLOB, store).run()
    assert caught.value.code in {"url-wrong", "hub-unreachable"}


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"\0\0\0\0\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"x" * 70_000,
    ],
    ids=["nothing", "zeros", "no-status", "too-many-headers", "no-line"],
)
def test_what_is_no_http_is_named(store: ArtifactStore, nonsense: bytes) -> None:
    with answering(nonsense) as server:
        assert fails(server, store).code == ("not-http" if nonsense else "hub-unreachable")
