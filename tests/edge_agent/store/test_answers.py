"""What an answer means, whoever gives it: a table."""

import pytest

from edge_agent.failures import TryLater
from edge_agent.store.answers import (
    LONGEST_AFTER_SECONDS,
    Afresh,
    Asked,
    Elsewhere,
    Rest,
    Whole,
    meaning,
)
from fleet_contract.manifest import Blob

BLOB = Blob("sha256:" + "a" * 64, 1000)
URL = "http://hub:8420/blobs/a?signature=1"
FIRST = Asked(URL, BLOB)
AGAIN = Asked(URL, BLOB, 400, '"e1"')
WEAK = Asked(URL, BLOB, 400, 'W/"e1"')
UNTAGGED = Asked(URL, BLOB, 400)
GOES_ON = {"content-range": "bytes 400-999/1000"}


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (FIRST, {}),
        (AGAIN, {"Range": "bytes=400-", "If-Range": '"e1"'}),
        (WEAK, {"Range": "bytes=400-"}),
        (UNTAGGED, {"Range": "bytes=400-"}),
    ],
)
def test_what_is_asked(asked: Asked, sent: dict[str, str]) -> None:
    assert asked.headers == {"User-Agent": "vedette-agent", "Accept-Encoding": "identity", **sent}


@pytest.mark.parametrize(
    ("asked", "status", "headers", "means"),
    [
        (FIRST, 200, {}, Whole("")),
        (FIRST, 200, {"content-length": "1000", "etag": '"e1"'}, Whole('"e1"')),
        (FIRST, 200, {"content-length": "317", "content-encoding": "gzip"}, Whole("", "gzip")),
        (FIRST, 200, {"content-encoding": "Identity"}, Whole("")),
        (FIRST, 200, {"content-type": "application/octet-stream"}, Whole("")),
        (AGAIN, 200, {"etag": '"e2"'}, Whole('"e2"')),
        # The same file, from a server that does not do ranges: what is here of it is good.
        (AGAIN, 200, {"etag": '"e1"'}, Whole('"e1"', known_bytes=400)),
        (AGAIN, 200, {"etag": '"e1"', "content-encoding": "gzip"}, Whole('"e1"', "gzip")),
        (WEAK, 200, {"etag": 'W/"e1"'}, Whole('W/"e1"')),
        (UNTAGGED, 200, {}, Whole("")),
        # A tag that could not be sent back is none.
        (FIRST, 200, {"etag": "e1"}, Whole("")),
        (FIRST, 200, {"etag": '"\u00fc"'}, Whole("")),
        (FIRST, 200, {"etag": '"' + "e" * 300 + '"'}, Whole("")),
        (AGAIN, 206, {**GOES_ON, "etag": '"e1"'}, Rest()),
        (AGAIN, 206, GOES_ON, Rest()),
        (UNTAGGED, 206, {**GOES_ON, "etag": '"e1"'}, Rest()),
        (WEAK, 206, {**GOES_ON, "etag": 'W/"e1"'}, Rest()),
        (AGAIN, 206, {"content-range": "bytes 400-499/1000"}, Rest()),
        # Changed while we were away, and nobody looked at If-Range.
        (AGAIN, 206, {**GOES_ON, "etag": '"e2"'}, Afresh()),
        (WEAK, 206, {**GOES_ON, "etag": 'W/"e2"'}, Afresh()),
        # Other bytes than those asked for.
        (AGAIN, 206, {}, Afresh()),
        (AGAIN, 206, {"content-range": "bytes 399-999/1000"}, Afresh()),
        (AGAIN, 206, {"content-range": "bytes 400-999/1001"}, Afresh()),
        (AGAIN, 206, {"content-range": "bytes 400-999/*"}, Afresh()),
        (AGAIN, 206, {"content-range": "bytes 400-999/" + "9" * 5000}, Afresh()),
        (AGAIN, 206, {**GOES_ON, "content-encoding": "gzip"}, Afresh()),
        (AGAIN, 416, {}, Afresh()),
        (FIRST, 302, {"location": "/b"}, Elsewhere("http://hub:8420/b")),
        (FIRST, 307, {"location": "https://s3/b?x=1"}, Elsewhere("https://s3/b?x=1")),
        (FIRST, 308, {}, Elsewhere(URL)),
    ],
)
def test_what_can_be_used(asked: Asked, status: int, headers: dict[str, str], means: object) -> None:
    assert meaning(asked, status, "", headers) == means


@pytest.mark.parametrize(
    ("asked", "status", "headers", "code"),
    [
        (FIRST, 200, {"content-length": "999"}, "size-wrong"),
        (AGAIN, 200, {"content-length": "600"}, "size-wrong"),
        (FIRST, 200, {"content-type": "text/html; charset=utf-8", "content-length": "1000"}, "captive-portal"),
        (FIRST, 407, {}, "captive-portal"),
        (FIRST, 511, {}, "captive-portal"),
        (FIRST, 200, {"content-encoding": "br"}, "coding-unknown"),
        (FIRST, 200, {"content-encoding": "gzip, gzip"}, "coding-unknown"),
        (FIRST, 302, {"location": "http://[::1"}, "url-wrong"),
        (Asked("https://hub/b", BLOB), 302, {"location": "http://hub/b"}, "url-wrong"),
        (FIRST, 401, {}, "artifact-forbidden"),
        (FIRST, 403, {}, "artifact-forbidden"),
        (FIRST, 404, {}, "artifact-missing"),
        (FIRST, 410, {}, "artifact-missing"),
        (FIRST, 429, {}, "hub-busy"),
        (FIRST, 503, {}, "hub-busy"),
        (FIRST, 500, {}, "hub-failed"),
        (FIRST, 204, {}, "hub-failed"),
        (FIRST, 300, {}, "hub-failed"),
        (FIRST, 999, {}, "hub-failed"),
    ],
)
def test_what_is_named_and_tried_later(asked: Asked, status: int, headers: dict[str, str], code: str) -> None:
    with pytest.raises(TryLater) as caught:
        meaning(asked, status, "Reason", headers)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "99999999999"}, LONGEST_AFTER_SECONDS),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, 0),
        # A date counts on the server's clock, not on ours, which may be decades off.
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:27:00 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 -0000", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0),
        ({"retry-after": "Wed, 99 Oct 99999 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_a_busy_server_says_when_to_come_back(headers: dict[str, str], seconds: float) -> None:
    with pytest.raises(TryLater) as caught:
        meaning(FIRST, 503, "", headers)
    assert caught.value.after_seconds == seconds
