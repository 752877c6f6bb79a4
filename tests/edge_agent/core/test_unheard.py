"""A hub that takes all but samples is told from one that is behind, away, or has nothing to take."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.unheard import MOST_SENDINGS, Unheard, answered, sent, trouble
from fleet_contract.telemetry import Lane

OTHERS = [lane for lane in Lane if lane is not Lane.SAMPLES]
STEPS = st.lists(st.tuples(st.sampled_from([sent, answered]), st.sampled_from(list(Lane))), max_size=60)


def after(*steps: tuple[object, Lane], sofar: Unheard | None = None) -> Unheard:
    found = sofar or Unheard()
    for step, lane in steps:
        found = sent(found, lane) if step is sent else answered(found, lane)
    return found


def unanswered(times: int) -> Unheard:
    return after(*[(sent, Lane.SAMPLES), (answered, Lane.WINDOWS)] * times, (sent, Lane.SAMPLES))


def test_samples_that_are_never_answered_while_windows_are_become_a_trouble() -> None:
    assert trouble(unanswered(MOST_SENDINGS - 1)) is None
    found = trouble(unanswered(MOST_SENDINGS))
    assert found is not None
    assert found.code == "samples-unanswered"
    assert trouble(unanswered(MOST_SENDINGS + 5)) == found, "always in the same words"


def test_an_answer_ends_it() -> None:
    assert trouble(answered(unanswered(MOST_SENDINGS), Lane.SAMPLES)) is None


@given(st.lists(st.sampled_from([(sent, lane) for lane in Lane]), max_size=60))
def test_a_hub_that_answers_nothing_is_not_blamed_for_samples(steps: list[tuple[object, Lane]]) -> None:
    assert trouble(after(*steps)) is None


@given(STEPS, st.sampled_from(OTHERS))
def test_sending_other_lanes_says_nothing_of_samples(steps: list[tuple[object, Lane]], lane: Lane) -> None:
    sofar = after(*steps)
    assert sent(sofar, lane) == sofar


@given(STEPS)
def test_it_takes_so_many_sendings_since_the_last_answer(steps: list[tuple[object, Lane]]) -> None:
    since = 0
    for step in steps:
        since = 0 if step == (answered, Lane.SAMPLES) else since + (step == (sent, Lane.SAMPLES))
    assert trouble(after(*steps)) is None or since > MOST_SENDINGS
