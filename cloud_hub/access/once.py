"""What was done for a request that its caller named, so that it is not done twice when it is sent again."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from cloud_hub.access.tables import KeyedRequest
from cloud_hub.database import Database, upsert
from cloud_hub.errors import Invalid

#: Nobody sends a request again after so long.
_KEPT = timedelta(days=7)
REQUEST_KEY_REUSED = "request-key-reused"


@dataclass(frozen=True)
class RequestKey:
    """What a caller names a request by, to send it again without doing it twice; `digest` is of what it asks for."""

    key: str
    digest: str


def keyed(key: str | None, where: str, body: BaseModel) -> RequestKey | None:
    """The request that sends `body` to `where`, if its caller named it."""
    if key is None:
        return None
    return RequestKey(key, hashlib.sha256(f"{where}\n{body.model_dump_json()}".encode()).hexdigest())


def begin(session: Session, request: RequestKey | None, now: datetime) -> dict[str, Any] | None:
    """What `finish` kept when `request` came before; None when it is new, or has no name. In the transaction that does
    what it asks for: whoever sends it again meanwhile waits. Raises `Invalid` when it asked for something else then."""
    if request is None:
        return None
    session.execute(delete(KeyedRequest).where(col(KeyedRequest.at) < now - _KEPT))
    insert = upsert(session, KeyedRequest).values(key=request.key, digest=request.digest, done={}, at=now)
    new = insert.on_conflict_do_nothing(index_elements=["key"]).returning(col(KeyedRequest.key))
    if session.execute(new).first() is not None:
        return None
    before: KeyedRequest = session.execute(
        select(KeyedRequest).where(col(KeyedRequest.key) == request.key)
    ).scalar_one()
    if before.digest != request.digest:
        raise Invalid(
            f"The request key {request.key!r} came before, and asked for something else.",
            "Use a new key for each thing that is asked for.",
            code=REQUEST_KEY_REUSED,
        )
    return before.done


def finish(session: Session, request: RequestKey | None, done: dict[str, Any]) -> None:
    """Keeps what was `done` for `request`, as JSON, in the same transaction."""
    if request is not None:
        mine = update(KeyedRequest).where(col(KeyedRequest.key) == request.key).values(done=done)
        session.execute(mine.execution_options(synchronize_session=False))


class Requests:
    """Requests that do more than one transaction holds. Thread-safe."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def came(self, request: RequestKey | None) -> bool:
        """Whether one of its key has begun."""
        if request is None:
            return False
        with self._database.reading() as session:
            return session.get(KeyedRequest, request.key) is not None

    def begin(self, request: RequestKey | None) -> bool:
        """Whether `request` is the first of its key, which it then has; one without a key is. Raises `Invalid`."""
        if request is None:
            return True
        with self._database.session() as session:
            return begin(session, request, self._now()) is None

    def forget(self, request: RequestKey | None) -> None:
        """As if `request` had not come."""
        if request is not None:
            with self._database.session() as session:
                session.execute(delete(KeyedRequest).where(col(KeyedRequest.key) == request.key))
