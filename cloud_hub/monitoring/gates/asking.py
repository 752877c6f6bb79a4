"""What a gate's shares are compared with: a control, the devices' own past, or what is known of held-out data. Pure."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cloud_hub.monitoring.evidence import Tally
from cloud_hub.monitoring.gates.betabinomial import Array
from cloud_hub.monitoring.gates.case import Case, Tolerances
from cloud_hub.monitoring.gates.cohort import RAW, Cohort, Question
from cloud_hub.monitoring.gates.counting import Compared, Count, Counts
from cloud_hub.monitoring.gates.usual import Usual


def ask_shares(
    case: Case,
    asked: Tolerances,
    count: Count,
    guess: Array,
    tolerated: float,
    *,
    promise: Array | None = None,
    uncertain: Array | float = 0.0,
    both_ways: bool = False,
    records: float = 0.0,
    unmistakable: bool = False,
) -> Question:
    """Against what the control showed in the same time, as far as it did; else against the treated devices' own past;
    else against what is promised, by `records` of the reference."""
    found, nobody = Compared(case, len(guess), count, count, count), Cohort.empty(len(guess))

    def ask(treated: Cohort, control: Cohort, *, concurrent: bool) -> Question:
        question = Question(treated, control, guess, tolerated, both_ways, asked.correlation, concurrent=concurrent)
        return question if question.by_past else replace(question, correlation=asked.correlation * RAW)

    def without() -> Question:
        if not case.controlled and promise is not None and not found.whole.known.any():
            correlation = asked.correlation * RAW
            return Question(found.whole, nobody, promise, tolerated, both_ways, correlation, True, uncertain, False)
        return ask(found.whole, nobody, concurrent=case.controlled)

    if not len(found.control.devices):
        return without()
    question = ask(found.treated, found.control, concurrent=case.controlled)
    if case.controlled or found.control.records[:, 0].sum() > records:
        alone = ask(found.alone.of(found.alone.known), nobody, concurrent=False)
    else:
        # The reference says more than so small a control; but what the version was cleared of beside it, it is.
        alone = replace(without(), by_itself=True)
    return _with(question, alone, found, unmistakable=unmistakable)


def _with(question: Question, alone: Question, found: Compared, *, unmistakable: bool) -> Question:
    question = replace(question, alone_since_seconds=found.alone_since_seconds)
    return replace(question, alone=alone, unmistakable=unmistakable) if len(alone.treated.devices) else question


def ask_thresholds(
    case: Case,
    usual: Usual,
    treated: Callable[[str, Tally], Counts],
    control: Callable[[str, Tally], Counts],
    guess: Array,
    tolerated: float,
    correlation: float,
    *,
    unmistakable: bool,
) -> Question | None:
    """On what is beyond each device's own threshold; None where nothing sets one, and nothing ever will."""
    found = Compared(
        case,
        len(guess),
        Count(f"{usual.name}-treated", usual.depends, treated),
        Count(f"{usual.name}-control", usual.depends, control),
        None,
    )
    nobody = Cohort.empty(len(guess))

    def by_past(cohort: Cohort) -> Question:
        known = cohort.of(np.array([device in case.past.by_device for device in cohort.devices], bool))
        return Question(known, nobody, guess, tolerated, False, correlation, promised=True, concurrent=False)

    if len(found.control.devices):
        question = Question(
            found.treated, found.control, guess, tolerated, False, correlation, concurrent=case.controlled
        )
        return _with(question, by_past(found.alone), found, unmistakable=unmistakable)
    if case.controlled:
        return Question(found.whole, nobody, guess, tolerated, False, correlation)
    alone = by_past(found.whole)
    return replace(alone, treated=found.whole) if len(alone.treated.devices) else None
