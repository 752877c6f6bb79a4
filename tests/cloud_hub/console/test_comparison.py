"""Cohorts are compared label by label, and only over the same bins."""

from cloud_hub.console.comparison import MAX_LABELS, Cohort, confidence, predictions
from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.views import EvidenceView


def cohort(css: str, counts: dict[str, int]) -> Cohort:
    evidence = Evidence({"gw": Tally(records=sum(counts.values()), predictions=counts)})
    return Cohort(css, css, EvidenceView.of(evidence))


def test_labels_stand_in_the_order_of_the_model_and_old_ones_follow() -> None:
    drawn = predictions(["cat", "ant"], [cohort("treated", {"ant": 1}), cohort("control", {"bee": 2, "cat": 1})])
    assert drawn is not None
    assert [tick.text for tick in drawn.ticks] == ["cat", "ant", "bee"]


def test_of_a_thousand_labels_the_most_frequent_are_drawn() -> None:
    labels = [f"label-{i}" for i in range(1000)]
    drawn = predictions(labels, [cohort("treated", {label: i + 1 for i, label in enumerate(labels)})])
    assert drawn is not None
    assert len(drawn.bars) == MAX_LABELS
    assert drawn.bars[-1].title.startswith("label-999:")


def test_nothing_is_drawn_before_the_first_record() -> None:
    assert predictions(["a", "b"], [cohort("treated", {}), cohort("control", {})]) is None
    assert confidence({}, {"treated": {}, "control": {}}, []) is None


def test_confidence_is_added_up_over_artifacts_on_the_same_edges_only() -> None:
    edges = {"new": (0.5,), "old": (0.5,), "ancient": (0.1, 0.2)}
    counted = {"treated": {"new": (1, 3)}, "control": {"old": (10, 10), "ancient": (1, 1, 1)}}
    drawn = confidence(edges, counted, [cohort("treated", {}), cohort("control", {})])
    assert drawn is not None
    assert [bar.title for bar in drawn.bars if bar.series == "control"] == [
        "<0.5: 50.0 % of control (10 records)",
        "≥0.5: 50.0 % of control (10 records)",
    ]


def test_counts_that_do_not_fit_their_edges_are_left_out() -> None:
    assert confidence({"new": (0.5,)}, {"treated": {"new": (1, 2, 3)}}, [cohort("treated", {})]) is None
