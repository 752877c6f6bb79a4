"""What is changed by whoever saw it as it is: a change can name the revision that it was decided on."""

from cloud_hub.errors import Stale


def check_seen(what: str, revision: int, seen: int | None) -> None:
    """Raises `Stale` when `what`, at `revision` now, was `seen` at another. None: it is changed whatever it is."""
    if seen not in (None, revision):
        raise Stale(
            f"{what} is at revision {revision}, and was to be changed as it was at revision {seen}.",
            "Look at what it is now, and decide again.",
        )
