"""What else tells that a version is worse: confidence, inputs, agreement with what answers, and labels."""

from dataclasses import replace

import pytest

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates import About, Case, Edges, Tolerances, Verdict, judge
from tests.cloud_hub.monitoring.gate_cases import LABELS, case, of, verdict

EDGES = About(
    LABELS,
    edges={"a": Edges((0.25, 0.5, 0.75)), "b": Edges((0.5, 0.9)), "c": Edges((0.1,))},
)


def confident(name: str, digest: str, counts: tuple[int, ...], devices: int = 10) -> Evidence:
    one = Tally(1, sum(counts), confidence={digest: counts})
    return Evidence({f"{name}-{number}": one for number in range(devices)})


def test_confidence_is_compared_where_both_versions_cut_it() -> None:
    sure, unsure = confident("old", "b", (100, 100, 800)), confident("new", "a", (300, 400, 200, 100))
    gate = of("confidence", judge(Case(unsure, sure, about=EDGES), Tolerances()))
    assert gate.verdict is Verdict.FAIL
    assert "have a confidence below 0.5" in gate.sentence
    assert gate.value == pytest.approx(0.6)


def test_confidence_that_is_cut_elsewhere_or_wrongly_says_nothing() -> None:
    sure = confident("old", "b", (100, 100, 800))
    other = Case(confident("new", "c", (100, 900)), sure, about=EDGES)
    assert "confidence" not in {gate.name for gate in judge(other, Tolerances())}
    wrong = Case(confident("new", "b", (1, 2, 3, 4)), sure, about=EDGES)
    assert verdict("confidence", wrong) is Verdict.NOT_ENOUGH_EVIDENCE


def seen(name: str, counts: tuple[int, ...], devices: int = 10) -> Evidence:
    one = Tally(1, sum(counts), features={("a", "image.mean"): counts})
    return Evidence({f"{name}-{number}": one for number in range(devices)})


def test_inputs_that_drifted_everywhere_are_the_worlds_and_told_from_training() -> None:
    edges = {"image.mean": (0.2, 0.4)}
    about = About(
        features={"image.mean": (500, 300, 200)},
        feature_edges=edges,
        edges={"a": Edges(features=edges)},
    )
    world = Case(seen("new", (100, 100, 800)), seen("old", (100, 100, 800)), about=about)
    gate = of("features", judge(world, Tolerances()))
    assert gate.verdict is Verdict.PASS
    assert "these are 60.0 points away, and the control 60.0" in gate.sentence
    assert verdict("features", replace(world, control=seen("old", (500, 300, 200)))) is Verdict.FAIL


def shadow(devices: int, agreed: int) -> Evidence:
    return Evidence({f"new-{number}": Tally(1, 500, compared=500, agreed=agreed) for number in range(devices)})


def test_a_shadow_must_agree_with_the_version_that_answers() -> None:
    assert verdict("agreement", case(shadow(1, 490), Evidence())) is Verdict.PASS
    assert verdict("agreement", case(shadow(20, 100), Evidence())) is Verdict.FAIL
    assert "agreement" not in {gate.name for gate in judge(case(Evidence(), Evidence()), Tolerances())}


def test_a_device_that_agrees_more_often_than_it_compared_stops_nobody() -> None:
    wrong = Evidence(
        {"new-1": Tally(1, 10, compared=10, agreed=2_000), "new-2": Tally(1, 500, compared=500, agreed=490)}
    )
    assert verdict("agreement", case(wrong, Evidence())) is Verdict.PASS


def labelled(name: str, devices: int, correct: int) -> Evidence:
    return Evidence({f"{name}-{n}": Tally(1, 500, labelled=500, correct=correct) for n in range(devices)})


def test_accuracy_is_judged_where_labels_arrive() -> None:
    assert verdict("accuracy", case(labelled("new", 10, 480), labelled("old", 20, 480))) is Verdict.PASS
    assert verdict("accuracy", case(labelled("new", 10, 300), labelled("old", 20, 480))) is Verdict.FAIL
    assert verdict("accuracy", case(Evidence(), labelled("old", 20, 480))) is Verdict.NOT_ENOUGH_EVIDENCE
