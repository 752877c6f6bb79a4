"""How a caller says which revision of something it saw, so that nothing else is changed (RFC 9110, section 13.1.1)."""

from typing import Annotated, Protocol, TypeVar

from fastapi import Depends, Header, Response


class Revised(Protocol):
    """What has revisions."""

    @property
    def revision(self) -> int: ...


T = TypeVar("T", bound=Revised)


def tagged(response: Response, view: T) -> T:
    """`view`, with its revision as the answer's entity tag."""
    response.headers["ETag"] = f'"{view.revision}"'
    return view


def _seen(
    if_match: Annotated[
        str | None,
        Header(
            pattern=r'^("[0-9]{1,9}"|\*)$',
            description="The ETag of what is to be changed: status 412 if it is another by now. Else whatever is there",
        ),
    ] = None,
) -> int | None:
    return None if if_match in (None, "*") else int(if_match.strip('"'))


#: A route's parameter: the revision that its caller saw, or None.
Seen = Annotated[int | None, Depends(_seen)]
