"""Each change on a device becomes one event, with its reason."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.telemetry.chronicle import MENDED_SECONDS, Chronicle, event
from fleet_contract.because import Because
from fleet_contract.report import ModelReport, Phase, Release
from fleet_contract.telemetry import Batch, Lane, decode_batch, encode_batch

NOW = 1_795_377_600_000
TRIAL = ModelReport(
    model="digits",
    phase=Phase.TRIAL,
    because=Because("on-trial", "12 of 50 records answered."),
    since=datetime(2026, 11, 22, tzinfo=UTC),
    wanted=Release(3, "sha256:3"),
    running=Release(3, "sha256:3"),
    rollout="r-1",
)
FULL = Because("disk-full", "No space left.")


def test_the_first_look_tells_all_that_is():
    (told,) = Chronicle().models([TRIAL], None, NOW)
    assert (told.kind, told.model, told.slot, told.version, told.phase) == ("phase", "digits", "default", 3, "trial")
    assert (told.code, told.sentence, told.rollout, told.at_ms) == (
        "on-trial",
        "12 of 50 records answered.",
        "r-1",
        NOW,
    )


def test_what_has_not_changed_is_not_told_again():
    chronicle = Chronicle()
    chronicle.models([TRIAL], None, NOW)
    counted_on = msgspec.structs.replace(TRIAL, because=Because("on-trial", "13 of 50 records answered."))
    assert chronicle.models([counted_on], None, NOW) == []


def test_slots_of_one_model_are_told_apart():
    chronicle = Chronicle()
    shadow = msgspec.structs.replace(TRIAL, slot="shadow")
    assert [one.slot for one in chronicle.models([TRIAL, shadow], None, NOW)] == ["default", "shadow"]
    settled = msgspec.structs.replace(shadow, phase=Phase.SETTLED)
    assert [(one.slot, one.phase) for one in chronicle.models([TRIAL, settled], None, NOW)] == [("shadow", "settled")]


def test_an_order_that_is_not_followed_is_told_once_and_again_after_one_that_was():
    chronicle, stale = Chronicle(), Because("generation-stale", "41 is older than 42.")
    assert [one.code for one in chronicle.models([], stale, NOW)] == ["generation-stale"]
    assert chronicle.models([], stale, NOW) == []
    assert chronicle.models([], None, NOW) == []
    assert [one.kind for one in chronicle.models([], stale, NOW)] == ["refused"]


def test_a_trouble_is_told_when_it_comes_and_when_it_has_gone_for_good():
    chronicle = Chronicle()
    assert [(one.kind, one.code) for one in chronicle.troubles([FULL], 0.0, NOW)] == [("trouble", "disk-full")]
    assert chronicle.troubles([FULL], 5.0, NOW) == []
    assert chronicle.troubles([], 10.0, NOW) == []
    mended = chronicle.troubles([], 5.0 + MENDED_SECONDS, NOW)
    assert [(one.kind, one.code) for one in mended] == [("mended", "disk-full")]
    assert chronicle.troubles([], 1e6, NOW) == []


def test_a_trouble_that_comes_and_goes_fills_no_spool():
    chronicle = Chronicle()
    told = [chronicle.troubles([FULL] if turn % 3 else [], turn * 5.0, NOW) for turn in range(10_000)]
    assert sum(map(len, told)) == 1


@given(st.text() | st.just("\udcff"), st.text(max_size=5000) | st.just("a file named \udcff"))
def test_whatever_a_reason_says_the_hub_can_take(code: str, sentence: str):
    told = event("trouble", Because(code, sentence), NOW)
    batch = Batch("gw-1", "b", 0, events=(msgspec.structs.replace(told, sequence=1),), lane=Lane.EVENTS)
    assert decode_batch(encode_batch(batch)) == batch
