"""What is changed by whoever saw it as it is: a change can name the revision that it was decided on."""

from cloud_hub.errors import Stale

#: The revision that a caller saw, or several of which any will do; None where it is changed whatever it is.
AsSeen = int | frozenset[int] | None


def check_seen(what: str, revision: int, seen: AsSeen) -> None:
    """Raises `Stale` when `what`, at `revision` now, was `seen` at others only."""
    if seen is None:
        return
    those = seen if isinstance(seen, frozenset) else {seen}
    if revision not in those:
        raise Stale(
            f"{what} is at revision {revision}, and was to be changed as it was at revision "
            f"{' or '.join(map(str, sorted(those)))}.",
            "Look at what it is now, and decide again.",
        )
