"""How a caller names a request, to send it again without doing it twice."""

from typing import Annotated

from fastapi import Header

#: A route's parameter, from the header `Idempotency-Key`.
RequestKeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,128}$",
        description="Names this request: sent again, it does nothing twice",
    ),
]
