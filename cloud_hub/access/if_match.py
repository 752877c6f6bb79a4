"""How a caller says which revision of something it saw, so that nothing else is changed (RFC 9110, section 13.1.1)."""

import re
from typing import Annotated, Protocol, TypeVar

from fastapi import Depends, Header, Response

from cloud_hub.errors import Malformed, Stale

#: One entity tag, as in RFC 9110, section 8.8.3.
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
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


def _seen_tag(
    if_match: Annotated[
        str | None,
        Header(
            description="The ETag of what is to be changed: status 412 if it is another by now. Else whatever is there"
        ),
    ] = None,
) -> str | None:
    """The text of the tag. Raises `Malformed`; `Stale` for a weak one, which never matches."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise Malformed(
            f"If-Match {if_match[:80]!r} is no ETag.",
            'Send one ETag as it came, with its quotes, as in `If-Match: "3"`; or *, or leave it out.',
            code=IF_MATCH_MALFORMED,
        )
    if found[1]:
        raise _unmatched(if_match)
    return found[2]


def _seen(tag: Annotated[str | None, Depends(_seen_tag)]) -> int | None:
    if tag is None:
        return None
    if not _REVISION.fullmatch(tag):
        raise _unmatched(f'"{tag}"')
    return int(tag)


def _unmatched(if_match: str) -> Stale:
    return Stale(
        f"If-Match {if_match[:80]} is no ETag that this has, or ever had.", "Look at what it is now, and decide again."
    )


#: A route's parameter: the revision that its caller saw, or None.
Seen = Annotated[int | None, Depends(_seen)]
#: The same of what has another tag than a revision: the tag's text, or None.
SeenTag = Annotated[str | None, Depends(_seen_tag)]
