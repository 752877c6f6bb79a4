"""A rollout on the screen: how far it is, on what evidence, and what holds it."""

from fleet_client import Client
from fleet_client.cli.output import Output, ago, pairs
from fleet_client.views import Explanation, Preview, Rollout


def show_rollout(output: Output, rollout: Rollout) -> None:
    """All of one rollout."""
    if output.json:
        output.document(rollout)
        return
    counts, evidence = rollout.counts, rollout.evidence
    output.facts(
        [
            (
                "rollout",
                f"{rollout.id}: {rollout.model} version {rollout.version}"
                f"{'' if rollout.slot == 'default' else f', as a {rollout.slot}'}",
            ),
            ("created", f"{ago(rollout.created_at)} by {rollout.created_by}{_of_manifest(rollout)}"),
            ("state", f"{rollout.state}, changed {ago(rollout.updated_at)}"),
            ("because", str(rollout.because)),
            ("selector", str(rollout.policy.get("selector") or "all")),
            (
                "devices",
                f"{counts.eligible} eligible, {counts.offered} offered, {counts.succeeded} run it, "
                f"{counts.pending} on their way, {counts.failed} failed, {counts.unheard} not heard from",
            ),
            (
                "records",
                f"{evidence.treated.records} by this version ({evidence.treated.errors} failed), "
                f"{evidence.control.records} by others ({evidence.control.errors} failed)",
            ),
            *_agreement(rollout),
            *_accuracy(rollout),
        ]
    )
    output.line("")
    output.table(["wave", "exposed", "state"], [[w.name, f"{w.exposed_percent:g} %", w.state] for w in rollout.waves])
    if rollout.gates:
        output.line("")
        output.table(["gate", "verdict", "because"], [[g.name, g.verdict, g.sentence] for g in rollout.gates])


def show_explanation(output: Output, explained: Explanation) -> None:
    """What holds a rollout: each condition of its next step, those that are missing with what would meet them."""
    if output.json:
        output.document(explained)
        return
    wave = f", wave {explained.wave + 1}" if explained.wave >= 0 else ""
    output.facts(
        [
            ("rollout", explained.rollout),
            ("state", f"{explained.state}{wave}"),
            ("because", str(explained.because)),
            ("earliest", f"{explained.earliest:%Y-%m-%d %H:%M:%S} UTC, if all stays met" if explained.earliest else ""),
        ]
    )
    if explained.conditions:
        output.line("")
        output.table(
            ["condition", "", "there is", "asked for", "what would meet it"],
            [
                [one.name, "met" if one.met else "missing", one.have, one.want, "" if one.met else one.moves]
                for one in explained.conditions
            ],
        )
    if explained.held:
        output.line("")
        output.table(["held", "by", "because"], [[str(one.devices), one.code, one.sentence] for one in explained.held])
    if explained.failures:
        output.line("")
        output.table(
            ["failed", "why", "for example"],
            [[str(one.devices), f"{one.sentence} [{one.code}]", " ".join(one.examples)] for one in explained.failures],
        )


def show_preview(output: Output, preview: Preview) -> None:
    """Each wave, and the devices of one of them."""
    if output.json:
        output.document(preview)
        return
    output.table(
        ["wave", "exposed", "added", "of these"],
        [[one.name, str(one.covers), str(one.added), pairs(one.by_target)] for one in preview.waves],
    )
    if not preview.devices:
        return
    wave = preview.waves[preview.wave]
    more = wave.added - len(preview.devices)
    output.line("")
    output.line(f"wave {preview.wave + 1} adds: {' '.join(preview.devices)}{f' and {more} more' if more > 0 else ''}")


def _of_manifest(rollout: Rollout) -> str:
    made_from = rollout.manifest
    return f", from the manifest {made_from.name}, {made_from.generation}" if made_from else ""


def _agreement(rollout: Rollout) -> list[tuple[str, str]]:
    treated = rollout.evidence.treated
    if treated.agreement is None:
        return []
    return [("agreement", f"{treated.agreement:.1%} of {treated.compared} records, with the version that answered")]


def _accuracy(rollout: Rollout) -> list[tuple[str, str]]:
    cohorts = (("by this version", rollout.evidence.treated), ("by others", rollout.evidence.control))
    known = [f"{one.accuracy:.1%} of {one.labelled} {name}" for name, one in cohorts if one.accuracy is not None]
    return [("accuracy", ", ".join(known))] if known else []


def follow(client: Client, output: Output, rollout: str) -> int:
    """Shows the rollout whenever it changes until it ends. 0 when it completed, else 1.

    On a terminal the whole of it, on a fresh screen; elsewhere a line for each change of state, wave or reason, and
    none when only the numbers in the reason move.
    """
    said: tuple[object, ...] = ()
    for _ in client.watch([f"rollout:{rollout}", "rollouts"]):
        now = client.rollouts.get(rollout)
        if output.terminal:
            output.refresh()
            show_rollout(output, now)
        elif said != (now.state, now.wave, now.because.code):
            if output.json:
                output.document(now)
            else:
                output.line(progress_line(now))
        said = (now.state, now.wave, now.because.code)
        if now.ended:
            return 0 if now.state == "completed" else 1
    return 1


def progress_line(rollout: Rollout) -> str:
    """State, wave and reason in one line."""
    name = rollout.waves[rollout.wave].name if 0 <= rollout.wave < len(rollout.waves) else "none"
    return f"{rollout.state}\twave {rollout.wave + 1} of {len(rollout.waves)} ({name})\t{rollout.because}"
