"""`vedette models ...`."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from fleet_client import labels
from fleet_client.cli.hub_options import Session, hub_command
from fleet_client.cli.lazy import HELP, WordyGroup
from fleet_client.cli.output import size
from fleet_client.cli.program import PASSED_ON, become
from fleet_client.views import Version


@click.group(cls=WordyGroup, context_settings=HELP)
def models() -> None:
    """Build, register and look at models."""


@models.command("list")
@click.option("--watch", "-w", is_flag=True, help="Show it again whenever it changes.")
@hub_command
def list_models(session: Session, watch: bool) -> None:
    """List models."""
    for _ in session.follow(watch, ["models"]):
        found = list(session.client.models.all())
        if session.output.json:
            session.output.document(found)
            continue
        session.output.table(
            ["model", "newest", "versions", "task", "targets"],
            [[m.name, str(m.newest_version), str(m.versions), m.task, ", ".join(m.targets)] for m in found],
            "No model yet. Register one: vedette models register FOLDER",
        )


@models.command()
@click.argument("model")
@click.argument("version", type=int, required=False)
@hub_command
def show(session: Session, model: str, version: int | None) -> None:
    """Show the versions of a model, or the artifacts of one version, with the evidence of each."""
    if version is None:
        versions = session.client.models.versions(model, limit=500).items
        if session.output.json:
            session.output.document(versions)
            return
        session.output.table(
            ["version", "made (UTC)", "target", "accuracy", "source", "size", "notes"],
            [row for one in versions for row in _rows(one)],
        )
        return
    one = session.client.models.version(model, version)
    if session.output.json:
        session.output.document(one)
        return
    session.output.facts(
        [
            ("model", f"{one.model} version {one.version}"),
            ("made", f"{one.created_at:%Y-%m-%d %H:%M} UTC"),
            ("task", one.task),
            ("labels", ", ".join(one.labels)),
            ("notes", one.notes),
        ]
    )
    session.output.line("")
    session.output.table(
        ["target", "runtime", "size", "accuracy", "source", "golden", "digest"],
        [
            [
                artifact.target,
                artifact.runtime,
                size(artifact.size_bytes),
                f"{artifact.accuracy:.4f}",
                f"{artifact.source_accuracy:.4f}",
                "" if artifact.golden_agreement is None else f"{artifact.golden_agreement:.4f}",
                artifact.digest,
            ]
            for artifact in one.artifacts
        ],
    )


@models.command(**PASSED_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def build(arguments: tuple[str, ...]) -> None:
    """Train a model of the catalogue, compile it for each target, and check it against its golden set."""
    become("models", ["build", *arguments], needs="onnx", extra="compile")


@models.command(**PASSED_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def replay(arguments: tuple[str, ...]) -> None:
    """Export a model's held-out records to a file that an agent can replay."""
    become("models", ["replay", *arguments], needs="onnx", extra="compile")


@models.command(
    epilog="""\b
Example:
  vedette models build digits --out build/digits
  vedette models register build/digits --notes "more night scans"
"""
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--notes", default="", help="What is new in it, for people.")
@hub_command
def register(session: Session, folder: Path, notes: str) -> None:
    """Upload what `vedette models build` left in FOLDER; the hub checks, signs and numbers it."""
    progress = _show_progress if session.output.terminal and sys.stderr.isatty() else None
    made = session.client.models.register(folder, notes=notes, progress=progress)
    if session.output.json:
        session.output.document(made)
        return
    session.output.line(f"Registered {made.model} version {made.version}.")
    session.output.table(["version", "made (UTC)", "target", "accuracy", "source", "size", "notes"], _rows(made))
    if session.output.terminal:
        session.output.line(f"Next: vedette rollouts create {made.model} {made.version} --watch")


@models.command(
    epilog="""\b
FILE is CSV, with the columns of its first line: device, version, labelled, correct, from, until, and maybe slot:
  device,version,labelled,correct,from,until
  gateway-1,4,200,188,2026-11-27T10:00:00Z,2026-11-27T11:00:00Z
"""
)
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path))
@hub_command
def label(session: Session, model: str, file: Path) -> None:
    """Tell true labels that arrived late, from FILE. The same file again counts nothing twice."""
    rows, key = labels.read(file, model)
    told = session.client.models.label(model, rows, key)
    if session.output.json:
        session.output.document(told)
    elif told.counted:
        session.output.line(f"Rows counted: {told.counted}.")
    else:
        session.output.line(f"Nothing is counted: its rows, {told.repeated}, had been before.")


@models.command()
@click.argument("model")
@click.option("--device", help="On this device only.")
@click.option("--minutes", type=click.IntRange(1), default=15, show_default=True, help="Of the last so many minutes.")
@hub_command
def series(session: Session, model: str, device: str | None, minutes: int) -> None:
    """Show what a model did over the last minutes, by version: rates, errors and latencies."""
    found = session.client.models.series(model, device=device, minutes=minutes)
    if session.output.json:
        session.output.document(found)
        return
    session.output.table(
        ["from (UTC)", "version", "records", "errors", "p50", "p95"],
        [
            [
                f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}",
                str(one.version),
                str(one.records[bucket]),
                str(one.errors[bucket]),
                _milliseconds(one.latency_p50_us[bucket]),
                _milliseconds(one.latency_p95_us[bucket]),
            ]
            for bucket, at in enumerate(found.times)
            for one in found.versions
            if one.records[bucket]
        ],
        f"Nothing came in of {model} in {minutes} minutes.",
    )


def _milliseconds(latency_us: float | None) -> str:
    return "-" if latency_us is None else f"{latency_us / 1000:.2f} ms"


def _rows(version: Version) -> list[list[str]]:
    return [
        [
            str(version.version),
            f"{version.created_at:%Y-%m-%d %H:%M}",
            artifact.target,
            f"{artifact.accuracy:.4f}",
            f"{artifact.source_accuracy:.4f}",
            size(artifact.size_bytes),
            version.notes,
        ]
        for artifact in version.artifacts
    ]


def _show_progress(path: Path, sent: int, total: int) -> None:
    click.echo(f"\r\033[K{path.name}  {size(sent)} of {size(total)}", err=True, nl=sent >= total)
