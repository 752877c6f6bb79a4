"""Decides what a report adds to the history of what a device ran, and since when. No I/O, no clock, no randomness."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fleet_contract.report import ModelReport, Release, Report

#: Of each slot of each model that answers: the version and its artifact's digest.
Running = Mapping[tuple[str, str], tuple[int, str]]


@dataclass(frozen=True)
class Run:
    """From `since` on the device ran `version` there, or nothing where it is None. `rollout` put it there, as the
    device says; None where it went back to it by itself."""

    model: str
    slot: str
    version: int | None
    digest: str
    rollout: str | None
    since: datetime


def running_of(report: Report) -> dict[tuple[str, str], tuple[int, str]]:
    return {
        (model.model, model.slot): (model.running.version, model.running.digest)
        for model in report.models
        if model.running is not None
    }


def runs_of(before: Running, report: Report, heard_before: datetime | None, now: datetime) -> list[Run]:
    """The changes between what ran `before` and what `report`, which came `now`, says.

    A device without a network switches when nobody listens: it is believed when it did so, as far as that lies between
    the report before and this one.
    """
    said = {(model.model, model.slot): model for model in report.models}
    runs = []
    for place in sorted(before.keys() | said.keys()):
        model = said.get(place)
        running = model.running if model else None
        if before.get(place) == (running and (running.version, running.digest)):
            continue
        since = now if model is None else min(now, max(model.since, heard_before or now))
        if model is None or running is None:
            runs.append(Run(*place, None, "", None, since))
        else:
            runs.append(Run(*place, running.version, running.digest, _rollout(model, running), since))
    return runs


def _rollout(model: ModelReport, running: Release) -> str | None:
    return model.rollout if model.wanted == running else None
