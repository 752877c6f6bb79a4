"""What a server's answer to a request for a blob means. Decides on status and headers alone; reads nothing.

Anyone may stand between a device and its hub: a proxy that compresses, a hotel's login page, a cache that forgets what
a range is. Whatever it says is either bytes to take, a reason to ask otherwise, or named and tried later; what the
bytes are worth is told by their hash.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import msgspec

from edge_agent.failures import TryLater
from fleet_contract.manifest import Blob

#: Of a server that says when to come back: a wrong clock there must not keep a device away for years.
LONGEST_AFTER_SECONDS = 3600.0
#: After an answer that has cost as much as the artifact, and was for nothing.
WASTED_SECONDS = 300.0
_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,254}"')
#: Codings of a body that `zlib` can undo, though nobody asked for them.
_KNOWN_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class Asked(msgspec.Struct, frozen=True):
    """What was asked for: `blob` at `url`, of which `size_bytes` are here, from a file that was `etag` then."""

    url: str
    blob: Blob
    size_bytes: int = 0
    etag: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the request."""
        headers = {"User-Agent": "vedette-agent", "Accept-Encoding": "identity"}
        if self.size_bytes:
            headers["Range"] = f"bytes={self.size_bytes}-"
            # A weak tag is no promise about bytes, and RFC 9110 has servers answer with the whole to one.
            if self.etag and not self.etag.startswith("W/"):
                headers["If-Range"] = self.etag
        return headers

    @property
    def where(self) -> str:
        return urlsplit(self.url).netloc


class Whole(msgspec.Struct, frozen=True):
    """The body is the blob from its first byte on, as the server knows it by `etag`; `coding` is to be undone.

    The first `known_bytes` of it are here: it is the same file, from a server that does not do ranges.
    """

    etag: str
    coding: str = ""
    known_bytes: int = 0


class Rest(msgspec.Struct, frozen=True):
    """The body goes on where we are."""


class Afresh(msgspec.Struct, frozen=True):
    """What is here is no part of what is there: forget it, and ask for the whole."""


class Elsewhere(msgspec.Struct, frozen=True):
    """Ask at `url`."""

    url: str


Meaning = Whole | Rest | Afresh | Elsewhere


def meaning(asked: Asked, status: int, reason: str, headers: Mapping[str, str]) -> Meaning:
    """What the answer is good for. Names in `headers` are in lower case.

    Raises `TryLater`: "captive-portal", "size-wrong", "coding-unknown", "url-wrong", "artifact-forbidden",
    "artifact-missing", "hub-busy" or "hub-failed".
    """
    match status:
        case 200:
            return _whole(asked, headers)
        case 206:
            goes_on = _content_range(headers.get("content-range", "")) == (asked.size_bytes, asked.blob.size_bytes)
            same = _etag(headers) in {"", asked.etag}
            return Rest() if goes_on and (same or not asked.etag) and not _coding(headers) else Afresh()
        case 416:
            return Afresh()
        case 301 | 302 | 303 | 307 | 308:
            return _elsewhere(asked, headers.get("location", ""))
        case 401 | 403:
            raise TryLater(
                f"{asked.where} refuses {asked.blob.digest[:19]} ({status}).",
                "Its link has perhaps expired; the next desired state brings a new one.",
                code="artifact-forbidden",
            )
        case 404 | 410:
            raise TryLater(
                f"{asked.where} does not have {asked.blob.digest[:19]} ({status}).",
                "Upload the blob again.",
                code="artifact-missing",
            )
        case 407 | 511:
            raise _portal(asked, f"wants a login ({status})")
        case 429 | 503:
            after = _retry_after(headers)
            raise TryLater(
                f"{asked.where} is busy ({status}{f', come back in {after:.0f} s' if after else ''}).",
                "It is asked again by itself.",
                code="hub-busy",
                after_seconds=after,
            )
        case _:
            raise TryLater(
                f"{asked.where} answers {status} {reason}.",
                "See what its log says; it is asked again by itself.",
                code="hub-failed",
            )


def _whole(asked: Asked, headers: Mapping[str, str]) -> Whole:
    if headers.get("content-type", "").partition(";")[0].strip().lower() in {"text/html", "application/xhtml+xml"}:
        raise _portal(asked, "answers with a web page")
    coding, length = _coding(headers), headers.get("content-length", "")
    if coding and coding not in _KNOWN_CODINGS:
        raise TryLater(
            f"{asked.where} sends {asked.blob.digest[:19]} in the coding {coding!r}, which was not asked for.",
            "Let proxies pass artifacts on as they are.",
            code="coding-unknown",
        )
    if not coding and length.isascii() and length.isdigit() and int(length) != asked.blob.size_bytes:
        raise size_wrong(asked, length)
    etag = _etag(headers)
    same = etag == asked.etag and not etag.startswith("W/") and etag
    return Whole(etag, coding, asked.size_bytes if same and not coding else 0)


def size_wrong(asked: Asked, found: str, after_seconds: float = 0.0) -> TryLater:
    """The error of an answer that cannot be the blob, for it has not its size: nobody's artifact is any worse for it,
    since it is named by its digest."""
    return TryLater(
        f"{asked.where} has {found} bytes for {asked.blob.digest[:19]}, and the manifest names "
        f"{asked.blob.size_bytes}.",
        "Something between here and the hub answers in its place, or its blob is damaged: upload it again.",
        code="size-wrong",
        after_seconds=after_seconds,
    )


def _portal(asked: Asked, what: str) -> TryLater:
    return TryLater(
        f"What answers for {asked.where} {what}, and has no artifact.",
        "Something between here and the hub (a login page?) is in the way.",
        code="captive-portal",
    )


def _elsewhere(asked: Asked, location: str) -> Elsewhere:
    try:
        url = urljoin(asked.url, location)
        before, after = urlsplit(asked.url).scheme, urlsplit(url).scheme
    except ValueError as error:
        raise TryLater(
            f"{asked.where} leads to {location!r}, which is no URL: {error}.",
            "See what answers there: the hub, or a proxy in front of it.",
            code="url-wrong",
        ) from error
    if before == "https" and after != "https":
        raise TryLater(
            f"{asked.where} leads from https to {after}, where anyone can read along.",
            "Serve artifacts over https throughout.",
            code="url-wrong",
        )
    return Elsewhere(url)


def _coding(headers: Mapping[str, str]) -> str:
    coding = headers.get("content-encoding", "").strip().lower()
    return "" if coding == "identity" else coding


def _etag(headers: Mapping[str, str]) -> str:
    """The tag, if it is one that can be kept and sent back."""
    tag = headers.get("etag", "")
    return tag if _TAG.fullmatch(tag) else ""


def _content_range(text: str) -> tuple[int, int] | None:
    """The first byte and the size of the whole, of "bytes 5-9/10"."""
    found = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", text)
    return None if found is None else (int(found[1]), int(found[2]))


def _retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that the server asks for, 0 when it does not say. A date is measured on the server's own clock, for
    ours may be decades off."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)
    else:
        try:
            then, now = (parsedate_to_datetime(one) for one in (text, headers.get("date", "")))
            seconds = (then.replace(tzinfo=then.tzinfo or UTC) - now.replace(tzinfo=now.tzinfo or UTC)).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return 0.0
    return max(0.0, min(seconds, LONGEST_AFTER_SECONDS))
