"""What a gate's shares are compared with: a control, the devices' own past, or what is known of held-out data. Pure."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cloud_hub.monitoring.evidence import Tally
from cloud_hub.monitoring.gates.betabinomial import Array
from cloud_hub.monitoring.gates.case import Case, Tolerances
from cloud_hub.monitoring.gates.cohort import RAW, Cohort, Question, world
from cloud_hub.monitoring.gates.counting import Compared, Count, Counts
from cloud_hub.monitoring.gates.rows import Flags
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
    apart: Flags | None = None,
) -> Question:
    """Against what the control showed in the same time, as far as it did; else against the treated devices' own past;
    else against what is promised, by `records` of the reference."""
    found, nobody = Compared(case, len(guess), count, count, count), Cohort.empty(len(guess))

    def ask(treated: Cohort, control: Cohort, *, concurrent: bool) -> Question:
        question = Question(treated, control, guess, tolerated, both_ways, asked.correlation, concurrent=concurrent)
        return question if question.by_past else replace(question, correlation=asked.correlation * RAW)

    def by_past(treated: Cohort) -> Question:
        return ask(treated.of(treated.known), nobody, concurrent=False)

    def promised(treated: Cohort) -> Question | None:
        if promise is None:
            return None
        correlation = asked.correlation * RAW
        return Question(treated, nobody, promise, tolerated, both_ways, correlation, True, uncertain, False)

    def beside(treated: Cohort, control: Cohort) -> Question:
        own = by_past(treated) if treated.known.any() else promised(treated)
        return replace(ask(treated, control, concurrent=case.controlled), own=own)

    known, spoke = found.whole.known.any(), found.control.records[:, 0].sum()
    # It says more than so small a control; but what the version was cleared of beside that, it is.
    reference = promised(found.whole) if not case.controlled and not known and spoke <= records else None
    if not spoke:
        question = reference or ask(found.whole, nobody, concurrent=case.controlled)
        alone = None if case.controlled or reference or not known else question
    else:
        question = beside(found.treated, found.control)
        alone = replace(reference, by_itself=True) if reference else by_past(_alone(case, found))
    after = _just_after(case, found, by_past, beside)
    return _with(question, alone, case, found, after, unmistakable=unmistakable, apart=apart)


def _alone(case: Case, found: Compared) -> Cohort:
    """The treated while nobody was a control; where a few go on to be one that says too little, whenever that was."""
    return found.whole if case.controlled and case.final else found.alone


def _just_after(
    case: Case,
    found: Compared,
    by_past: Callable[[Cohort], Question],
    beside: Callable[[Cohort, Cohort], Question],
) -> Question | None:
    """Of what the treated showed right after the control fell silent, while the world was as it had been right before:
    in the control's last words, and where the rollout had just begun, in the devices' own past."""
    if case.controlled or not len(found.just_after.devices):
        return None
    alone = by_past(found.just_after) if found.silent_at_once else None
    if not len(found.just_before.devices):
        return alone
    question = beside(found.just_after, found.just_before)
    return replace(alone, uncertain=world(question)) if alone and len(alone.treated.devices) else question


def _with(
    question: Question,
    alone: Question | None,
    case: Case,
    found: Compared,
    just_after: Question | None,
    *,
    unmistakable: bool,
    apart: Flags | None,
) -> Question:
    # Once nobody is left to be exposed, no target's share can grow.
    apart = apart if case.exposing else None
    question = replace(
        question,
        apart=apart,
        final=case.final,
        just_after=just_after,
        alone_since_seconds=found.alone_since_seconds,
    )
    if alone is None or not len(alone.treated.devices):
        return question
    return replace(question, alone=replace(alone, apart=apart), unmistakable=unmistakable)


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
    apart: Flags | None = None,
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
        return Question(
            known, nobody, guess, tolerated, False, correlation, promised=True, concurrent=False, usual=True
        )

    def beside(ours: Cohort, theirs: Cohort) -> Question:
        own = by_past(ours)
        return Question(
            ours, theirs, guess, tolerated, False, correlation, concurrent=case.controlled, own=own, usual=True
        )

    after = _just_after(case, found, by_past, beside)
    if len(found.control.devices):
        question, alone = beside(found.treated, found.control), by_past(_alone(case, found))
        return _with(question, alone, case, found, after, unmistakable=unmistakable, apart=apart)
    if case.controlled:
        return beside(found.whole, nobody)
    alone = by_past(found.whole)
    if not len(alone.treated.devices):
        return None
    question = replace(alone, treated=found.whole)
    return _with(question, question, case, found, after, unmistakable=unmistakable, apart=apart)
