"""Who acts. Until a hub knows people, they say it themselves: it is for the history, and proves nothing."""

import re
from typing import Annotated

from fastapi import Depends, Header

from cloud_hub.errors import Invalid

#: Who acts where nobody says who.
OPERATOR = "operator"
#: Where the console remembers who acts.
COOKIE = "vedette-actor"
_NAME = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,62}[\x21-\x7e])?")


def _actor(
    vedette_actor: Annotated[str | None, Header(description="Who acts: 1 to 64 printable ASCII characters")] = None,
) -> str:
    return OPERATOR if vedette_actor is None else check_actor(vedette_actor)


def check_actor(name: str) -> str:
    """`name`, if it is one. Raises `Invalid` ("actor-wrong")."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            "Who acts (Vedette-Actor) is told by no such name.",
            "Use 1 to 64 printable ASCII characters.",
            code="actor-wrong",
        )
    return name


#: A route's parameter: the audit name of the caller, from the header `Vedette-Actor`.
Actor = Annotated[str, Depends(_actor)]
