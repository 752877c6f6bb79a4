"""What an open wave must still show before the next one may open. Pure.

Each gives the reason that holds it, or None. Nothing is taken for shown because nobody said anything.
"""

from collections.abc import Mapping
from datetime import timedelta

from cloud_hub.monitoring.gates import Gate
from cloud_hub.rollouts.engine.known import AWAY, VERDICT_WANTED, Counts, Rollout, Snapshot
from cloud_hub.rollouts.engine.progress import few_accepted, following, minimum, nobody_on_the_way, short
from cloud_hub.rollouts.engine.verdict import names_of, records_wanted, unanswerable, undecided, waited_for
from cloud_hub.rollouts.policy import Policy
from fleet_contract.because import Because

_HELD: Mapping[str, str] = {
    "frozen": "for the fleet to be let go",
    "rate": "for the rate",
    "cap": "for one in flight to be done",
    "group": "for another of their group",
    "jitter": "for their moment",
    "turn": "for their turn",
    AWAY: "to be connected",
}


def orders_owed(snapshot: Snapshot) -> Because | None:
    """Who has no order yet, if anybody has none: until then a wave's soak does not begin, and the next is not open."""
    if snapshot.carried_out:
        return None
    ordered = snapshot.fresh.offered
    return Because("orders-owed", f"{ordered:,} of this wave's devices have their order; {_waits(snapshot)}.")


def _waits(snapshot: Snapshot) -> str:
    if not snapshot.held:
        return "others wait for theirs"
    return "others wait: " + ", ".join(f"{count:,} {_HELD[code]}" for code, count in sorted(snapshot.held.items()))


def not_heard(policy: Policy, snapshot: Snapshot) -> Because | None:
    """Who of the wave must still be heard from, if anybody must."""
    fresh = snapshot.fresh
    # Who is held back for being away has no offer that it could be silent on, and is as silent.
    asked = fresh.offered + snapshot.held.get(AWAY, 0)
    if fresh.heard == 0:
        return Because(
            "nobody-heard",
            f"None of the {asked:,} devices that this wave adds has been heard from since; no evidence promotes "
            "nothing.",
        )
    if 100 * fresh.heard < policy.heard_percent * asked:
        return Because(
            "quorum-wanted",
            f"{fresh.heard:,} of the {asked:,} devices of this wave have been heard from since "
            f"({100 * fresh.heard / asked:.1f} %); {policy.heard_percent:g} % must be, for silence is no good news.",
        )
    return None


def not_run(rollout: Rollout, policy: Policy, snapshot: Snapshot) -> Because | None:
    """On how many of the devices that were heard from it must still come to run, if on any."""
    counts = short(policy, snapshot)
    if counts is None:
        return None
    if few_accepted(rollout, policy, snapshot):
        return None
    if nobody_on_the_way(snapshot, counts):
        asked = f"{policy.success_percent:g} %, and at least {minimum(policy, snapshot):,} of this wave,"
        silent = f", and {counts.unheard:,} are not heard from" if counts.unheard else ""
        return Because(
            VERDICT_WANTED,
            f"{counts.succeeded:,} of {counts.heard:,} devices heard from run it ({counts.success_percent:.1f} %), "
            f"{counts.failed:,} failed and none is on its way{silent}; {asked} must. Approve it to go on as it is, or "
            "abort it.",
        )
    if counts.success_percent < policy.success_percent:
        return Because(
            "devices-pending",
            f"{counts.succeeded:,} of {counts.heard:,} devices heard from run it ({counts.success_percent:.1f} %), "
            f"{counts.failed:,} failed and {counts.pending:,} are on their way{_windows(counts)}; "
            f"{policy.success_percent:g} % must.",
        )
    return Because(
        "devices-wanted",
        f"{counts.succeeded:,} of this wave's devices run it; at least {minimum(policy, snapshot):,} must.",
    )


def _windows(counts: Counts) -> str:
    return f", {counts.waiting:,} of them until their maintenance window" if counts.waiting else ""


def not_seen(rollout: Rollout, policy: Policy, snapshot: Snapshot, soaked: timedelta) -> Because | None:
    """What must still be seen of a wave whose devices run the version, if anything must."""
    if soaked < timedelta(seconds=policy.soak_seconds):
        return Because(
            "soaking",
            f"{snapshot.fresh.succeeded:,} of the {snapshot.fresh.heard:,} devices that this wave adds run it, at "
            f"least half of them for {soaked.total_seconds():.0f} s now; {policy.soak_seconds:g} s are asked for.",
        )
    few, waited = records_wanted(rollout, policy, snapshot), waited_for(policy, soaked)
    records = (
        f"{snapshot.wave_records:,} records of it came in during this wave; {policy.minimum_records:,} are asked for."
    )
    if few and not waited:
        return Because("records-wanted", records)
    left = unanswerable(rollout, policy, snapshot, soaked)
    for gate in undecided(rollout, snapshot):
        if gate not in left:
            return Because(f"gate-{gate.name}-undecided", f"The gate on {gate.name} cannot tell yet. {gate.sentence}")
    if not left and not few:
        return None
    sentences = " ".join([*([records] if few else []), *(gate.sentence for gate in left)])
    return Because(VERDICT_WANTED, f"{_why_asked(rollout, snapshot, left, soaked if waited else None)} {sentences}")


def _why_asked(rollout: Rollout, snapshot: Snapshot, left: tuple[Gate, ...], waited: timedelta | None) -> str:
    """Why a person is asked, where it was not `waited` for long, because nothing else can answer."""
    if waited is not None:
        hours = waited.total_seconds() / 3600
        return (
            f"Wave {rollout.wave + 1} has been run for {hours:.1f} hours, and what is asked of it is still not shown: "
            "wait for more, approve it to go on without, or abort it."
        )
    if following(rollout, snapshot) is None:
        return f"Every device that is here is exposed, and what {names_of(left)} asked, nothing will answer."
    return (
        f"No more devices of wave {rollout.wave + 1} are on their way, and what {names_of(left)} asked, those that run "
        "it cannot answer: approve it to go on as it is, or abort it."
    )
