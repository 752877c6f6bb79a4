"""`vedette rollouts diff`, `apply` and `schema`: rollouts that are kept in files."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from fleet_client.cli.hub_options import Session, hub_command
from fleet_client.cli.output import Output, complain
from fleet_client.errors import ManifestUnreadable
from fleet_client.manifests import Applied, File, read_files
from fleet_contract.errors import VedetteError

#: What `diff` ends with: as diff and kubectl do.
SAME, DIFFERENT, FAILED = 0, 1, 2
STDIN = Path("-")

files_option = click.option(
    "--file",
    "-f",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A manifest in YAML, a folder of them, or - for standard input; may be given again.",
)

mark_option = click.option("--seen", metavar="MARK", help="Only if it does what `diff` told, which printed this.")


def manifests_of(paths: tuple[Path, ...]) -> list[File]:
    """What --file names. Raises `ManifestUnreadable`, `click.UsageError`."""
    if not paths:
        raise click.UsageError("Name a manifest with --file FILE.")
    found: list[File] = []
    for path in paths:
        if path == STDIN:
            found.append(_of_stdin())
        else:
            found += read_files([path])
    return found


def _of_stdin() -> File:
    try:
        text = sys.stdin.read()
        text.encode()
    except UnicodeError as error:
        raise ManifestUnreadable(f"Standard input is not UTF-8: {error}.") from error
    return File("<stdin>", text.removeprefix("\ufeff"))


def _failing_with_2(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def command(**options: Any) -> Any:
        try:
            return function(**options)
        except VedetteError as error:
            complain(error)
            return FAILED

    return command


@click.command(
    epilog="""\b
Exit code: 0 when nothing would change, 1 when something would, 2 when it failed.
  vedette rollouts diff -f rollout.yaml
  vedette rollouts diff -f manifests/
"""
)
@files_option
@click.option("--again", is_flag=True, help="As `create -f` does it, which starts also what has not changed.")
@_failing_with_2
@hub_command
def diff(session: Session, files: tuple[Path, ...], again: bool) -> int:
    """Show what applying manifests would change."""
    found = session.client.manifests.diff(manifests_of(files), again=again)
    if session.output.json:
        session.output.document(found)
    else:
        for one in found.manifests:
            _print_diff(session.output, one.diff)
            click.echo(one.sentence, err=True)
        if found.differs and found.seen is not None:
            command = "create" if again else "apply"
            click.echo(f"`vedette rollouts {command} --seen {found.seen}` does this, or nothing.", err=True)
    return DIFFERENT if found.differs else SAME


@click.command(
    epilog="""\b
Examples:
  vedette rollouts apply -f rollout.yaml
  vedette rollouts apply -f rollout.yaml --seen 3f0c6b1e9a7d2c54
  vedette rollouts apply -f manifests/ -f more/digits.yaml
  generate | vedette rollouts apply -f -
"""
)
@files_option
@mark_option
@hub_command
def apply(session: Session, files: tuple[Path, ...], seen: str | None) -> None:
    """Bring the hub to what manifests say: one that has not changed changes nothing, another starts a rollout."""
    show_applied(session.output, session.client.manifests.apply(manifests_of(files), seen=seen))


@click.command()
@click.argument("kind", type=click.Choice(["rollout", "cohort"]), default="rollout")
@hub_command
def schema(session: Session, kind: str) -> None:
    """Print the JSON Schema of manifests, for an editor that checks them as you write."""
    session.output.document(session.client.manifests.schema(kind))


def show_applied(output: Output, applied: tuple[Applied, ...]) -> None:
    """What became of each manifest."""
    if output.json:
        output.document(applied)
        return
    for one in applied:
        started = one.rollout.id if one.rollout is not None else ""
        cells = (one.outcome, one.kind, one.name, started, one.sentence)
        output.line(one.sentence if output.terminal else "\t".join(cells))


_COLOURS = {"+": "32", "-": "31", "@": "36"}


def _print_diff(output: Output, diff: str) -> None:
    for number, line in enumerate(diff.splitlines()):
        colour = "1" if number < 2 else _COLOURS.get(line[:1])
        output.line(f"\033[{colour}m{line}\033[0m" if colour and output.coloured else line)
    sys.stdout.flush()
