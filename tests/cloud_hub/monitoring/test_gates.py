"""What holds of every gate: when it is asked, when it can tell nothing, and that its verdict fits its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates import Case, Edges, Outcomes, Tolerances, Verdict, judge
from tests.cloud_hub.monitoring.gate_cases import ABOUT, EVEN, LABELS, case, cohort, of


def test_no_telemetry_is_never_enough() -> None:
    nothing, some = Evidence(), cohort("some", 3, EVEN)
    for treated, control in ((nothing, some), (some, nothing), (nothing, nothing)):
        for gate in judge(case(treated, control), Tolerances()):
            assert gate.verdict is Verdict.NOT_ENOUGH_EVIDENCE, gate


def test_some_gates_wait_for_data_and_the_others_are_asked_once_there_is_some() -> None:
    def asked(of_case: Case) -> set[str]:
        return {gate.name for gate in judge(of_case, Tolerances())}

    always = {"installs", "parity", "errors", "latency", "predictions"}
    assert asked(case(Evidence(), Evidence())) == always
    assert asked(replace(case(Evidence(), Evidence()), concurrent=False)) == always - {"latency"}
    assert asked(Case()) == always - {"predictions"}
    some = {
        "memory": Tally(memory={400: 1}),
        "temperature": Tally(temperature={40: 1}),
        "accuracy": Tally(labelled=1),
        "agreement": Tally(compared=1),
    }
    for name, tally in some.items():
        assert asked(case(Evidence({"new": tally}), Evidence())) == always | {name}


def test_a_gate_that_is_off_says_nothing_and_leaves_its_share_of_alarms_to_the_others() -> None:
    all_on, one_off = Tolerances(), Tolerances(error_increase=None)
    of_case = case(cohort("new", 1, EVEN), cohort("old", 1, EVEN))
    assert {gate.name for gate in judge(of_case, all_on)} - {gate.name for gate in judge(of_case, one_off)} == {
        "errors"
    }
    assert one_off.alpha == pytest.approx(all_on.alpha * 11 / 10)


def test_devices_that_could_not_install_it_are_counted_by_code() -> None:
    outcomes = Outcomes(20, {"load-failed": 15, "golden-disagrees": 1})
    gates = judge(replace(case(Evidence(), Evidence()), outcomes=outcomes), Tolerances())
    assert of("installs", gates).verdict is Verdict.FAIL
    assert "15 of 36 devices could not install it (load-failed 15), 41.7 %" in of("installs", gates).sentence
    assert of("parity", gates).verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "1 of 36 devices computed other outputs for the golden set" in of("parity", gates).sentence


def test_one_canary_that_runs_it_passes_installs_and_parity() -> None:
    gates = judge(replace(case(Evidence(), Evidence()), outcomes=Outcomes(1)), Tolerances())
    assert of("installs", gates).verdict is Verdict.PASS
    assert of("parity", gates).verdict is Verdict.PASS


NONSENSE = {
    "nothing": Tally(),
    "only errors": Tally(1, 0, 1_000),
    "one record": Tally(1, 1, 0, {5: 1}, {"0": 1}),
    "huge": Tally(1, 10**15, 10**13, {5: 10**15}, {"0": 10**15}),
    "far latencies": Tally(1, 100, 0, {0: 50, 1000: 50}, {"0": 100}),
    "wrong counts": Tally(
        1, 10, compared=1, agreed=9, labelled=1, correct=9, features={("a", "f"): (1, 2), ("?", "f"): (1,)}
    ),
}


@pytest.mark.parametrize("treated", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("control", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("concurrent", [True, False])
def test_nonsense_gets_a_finite_verdict_and_never_passes_a_device_that_showed_nothing(
    treated: Tally, control: Tally, concurrent: bool
) -> None:
    edges = {"a": Edges((float("nan"),), {"f": (float("nan"),)})}
    new, old = Evidence({"new": treated}), Evidence({"old": control})
    of_case = Case(new, old, new + old, about=replace(ABOUT, edges=edges), concurrent=concurrent)
    for gate in judge(of_case, Tolerances()):
        assert all(isfinite(number) for number in (gate.value, gate.lower, gate.upper)), gate
        if treated == Tally():
            assert gate.verdict is Verdict.NOT_ENOUGH_EVIDENCE


COUNTS = st.dictionaries(st.sampled_from(LABELS), st.integers(0, 2_000))
COHORT = st.lists(st.tuples(COUNTS, st.integers(0, 500)), max_size=4)


def gathered(name: str, many: Sequence[tuple[Mapping[str, int], int]]) -> Evidence:
    return Evidence(
        {f"{name}-{n}": Tally(1, sum(counts.values()), errors, {}, counts) for n, (counts, errors) in enumerate(many)}
    )


@settings(max_examples=40)
@given(COHORT, COHORT, COHORT, st.booleans())
def test_verdict_bounds_and_sentence_agree(
    treated: Sequence[tuple[dict[str, int], int]],
    control: Sequence[tuple[dict[str, int], int]],
    past: Sequence[tuple[dict[str, int], int]],
    concurrent: bool,
) -> None:
    of_case = case(gathered("new", treated), gathered("old", control), gathered("new", past) + gathered("old", past))
    for gate in judge(replace(of_case, concurrent=concurrent), Tolerances()):
        assert gate.lower <= gate.value + 1e-9
        assert gate.value <= gate.upper + 1e-9
        assert (gate.verdict is Verdict.FAIL) == (gate.lower > gate.threshold)
        assert (gate.verdict is Verdict.PASS) == (gate.upper <= gate.threshold)
        assert gate.sentence.endswith(".")
