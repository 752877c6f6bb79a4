"""How a caller says which revision of something it saw, so that nothing else is changed (RFC 9110, section 13.1.1)."""

import re
from typing import Annotated, NoReturn, Protocol, TypeVar

from fastapi import Depends, Header, Request, Response

from cloud_hub.errors import Malformed, Stale

#: One entity tag, as in RFC 9110, section 8.8.3.
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_TAGS = re.compile(rf"[ \t,]*(?:{_TAG.pattern}[ \t]*(?:,[ \t,]*|$))*")
_REVISION = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
IF_MATCH_MALFORMED = "if-match-malformed"


class Revised(Protocol):
    """What has revisions."""

    @property
    def revision(self) -> int: ...


T = TypeVar("T", bound=Revised)


def tagged(response: Response, view: T) -> T:
    """`view`, with its revision as the answer's entity tag."""
    response.headers["ETag"] = f'"{view.revision}"'
    return view


def _seen_tags(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(
            description="The ETag of what is to be changed, or several, of which any will do: status 412 if it is "
            "another by now. Else whatever is there"
        ),
    ] = None,
) -> frozenset[str] | None:
    """The texts of the tags. Raises `Malformed`; `Stale` where all are weak ones, which never match."""
    # A list may come as several headers, and the parameter, which is for the document, has the first alone.
    if_match = None if if_match is None else ", ".join(request.headers.getlist("if-match"))
    if if_match is None or if_match.strip() == "*":
        return None
    # A recipient takes empty elements of a list for none (section 5.6.1.2).
    if not _TAGS.fullmatch(if_match) or not (found := _TAG.findall(if_match)):
        raise Malformed(
            f"If-Match {if_match[:80]!r} is no ETag.",
            'Send the ETag as it came, with its quotes, as in `If-Match: "3"`; or *, or leave it out.',
            code=IF_MATCH_MALFORMED,
        )
    return frozenset(text for weak, text in found if not weak) or _unmatched(if_match)


def _seen(tags: Annotated[frozenset[str] | None, Depends(_seen_tags)]) -> frozenset[int] | None:
    if tags is None:
        return None
    known = frozenset(int(tag) for tag in tags if _REVISION.fullmatch(tag))
    return known or _unmatched(", ".join(f'"{tag}"' for tag in sorted(tags)))


def _unmatched(if_match: str) -> NoReturn:
    raise Stale(
        f"If-Match {if_match[:80]} is no ETag that this has, or ever had.", "Look at what it is now, and decide again."
    )


#: A route's parameter: the revisions of which its caller says that it saw one, or None.
Seen = Annotated[frozenset[int] | None, Depends(_seen)]
#: The same of what has other tags than revisions: their texts, or None.
SeenTags = Annotated[frozenset[str] | None, Depends(_seen_tags)]
