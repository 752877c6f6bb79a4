"""Which report is news."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.devices.freshness import Freshness, Known, freshness
from fleet_contract.report import Presence
from tests.fakes.reports import STARTED, report

KNOWN = Known(boot="b2", boot_before="b1", boot_started_at=STARTED, number=5)
IN_1970 = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("case", "coming", "expected"),
    [
        ("the next report", report(boot="b2", number=6), Freshness.NEWS),
        ("one that skips numbers", report(boot="b2", number=60), Freshness.NEWS),
        ("the same report again", report(boot="b2", number=5), Freshness.STALE),
        ("an earlier report, late", report(boot="b2", number=4), Freshness.STALE),
        ("the boot before, late, with a high number", report(boot="b1", number=99), Freshness.STALE),
        ("a new boot, counting from 1", report(boot="b3", number=1, started_at=STARTED + timedelta(1)), Freshness.NEWS),
        ("a new boot whose clock is not set", report(boot="b3", number=1, started_at=IN_1970), Freshness.NEWS),
        ("a goodbye", report(boot="b2", number=6, presence=Presence.CLOSING), Freshness.NEWS),
        ("this connection's last will", report(boot="b2", number=9, presence=Presence.LOST), Freshness.WILL),
        ("an earlier connection's last will", report(boot="b2", number=4, presence=Presence.LOST), Freshness.STALE),
        ("the last will of the boot before", report(boot="b1", number=99, presence=Presence.LOST), Freshness.STALE),
        ("the last will of a boot never seen", report(boot="b9", number=99, presence=Presence.LOST), Freshness.STALE),
    ],
)
def test_what_a_report_is(case: str, coming: object, expected: Freshness) -> None:
    assert freshness(KNOWN, coming) is expected, case  # type: ignore[arg-type]


def test_the_first_report_ever_is_news() -> None:
    assert freshness(Known(), report(number=0)) is Freshness.NEWS


@given(
    st.lists(
        st.tuples(st.sampled_from(["b1", "b2"]), st.integers(1, 6)),
        unique=True,
    )
)
def test_in_whatever_order_reports_come_repeats_change_nothing(sent: list[tuple[str, int]]) -> None:
    known = Known()
    for boot, number in sent:
        coming = report(boot=boot, number=number)
        if freshness(known, coming) is Freshness.NEWS:
            known = known.after(coming)
        assert freshness(known, coming) is Freshness.STALE


@given(st.permutations([("b2", 1), ("b2", 2), ("b2", 3)]))
def test_the_highest_number_of_a_boot_wins_in_any_order(sent: list[tuple[str, int]]) -> None:
    known = Known(boot="b1")
    for boot, number in sent:
        coming = report(boot=boot, number=number)
        if freshness(known, coming) is Freshness.NEWS:
            known = known.after(coming)
    assert (known.boot, known.number) == ("b2", 3)
