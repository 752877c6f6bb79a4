"""What a device says is about the offer that it follows, and about no other."""

from datetime import UTC, datetime, timedelta

import pytest

from cloud_hub.rollouts.outcomes import Offered, Outcome, Said, outcome

AT = datetime(2026, 11, 2, 12, tzinfo=UTC)
OFFER = Offered(2, "sha256:b", 7, AT, Outcome.AWAITED)
MINE, OTHER, NONE = (2, "sha256:b"), (1, "sha256:a"), (None, None)
BEFORE, AFTER = AT - timedelta(seconds=1), AT + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (Said(7, AFTER, "settled", running=MINE), Outcome.SUCCEEDED),
        (Said(8, AFTER, "settled", running=MINE), Outcome.SUCCEEDED),
        (Said(7, AFTER, "settled", running=OTHER), Outcome.UNDERWAY),
        (Said(7, AFTER, "rejected", wanted=MINE), Outcome.REJECTED),
        (Said(7, AFTER, "rejected", wanted=OTHER), Outcome.UNDERWAY),
        (Said(7, AFTER, "preflight", "window-closed", wanted=MINE), Outcome.WAITING),
        (Said(7, AFTER, "fetching", wanted=MINE), Outcome.UNDERWAY),
        (Said(7, AFTER), Outcome.UNDERWAY),
        (Said(6, AFTER, "settled", running=MINE), Outcome.UNDERWAY),
        (Said(6, BEFORE, "settled", running=MINE), Outcome.AWAITED),
        (Said(0, None), Outcome.AWAITED),
    ],
)
def test_each_report_means_one_outcome(said: Said, found: Outcome) -> None:
    assert outcome(OFFER, said) is found
