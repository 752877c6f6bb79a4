"""`python -m models`: builds models of the catalogue, lists them, and exports data to replay."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from fleet_contract.errors import VedetteError
from models import catalog
from models.compiler.folder import check_free
from models.compiler.targets import TARGETS, target
from models.errors import FolderTaken, ToolMissing
from models.recipe import Options

if TYPE_CHECKING:
    from models.compiler.building import Built

_output = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="What to print."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Trains the models of the catalogue, compiles them to INT8 for hardware targets, and measures what that cost.

    \b
    python -m models list
    python -m models build digits --out build/digits
    python -m models replay digits --out digits.npz
    """


@main.command("list")
@_output
def list_models(output: str) -> None:
    """Lists the models that can be built."""
    with _errors(output):
        cards = [catalog.find(name).card for name in catalog.names()]
    if output == "json":
        _json([{"name": card.name, "title": card.title, "about": card.about, "source": card.source} for card in cards])
    else:
        _table(("MODEL", "TITLE", "ABOUT"), [(card.name, card.title, card.about) for card in cards])


@main.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make; replaces a build.")
@click.option("--train-images", type=int, help="Train on the first so many labelled images only.  [default: all]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the training, not of the held-out data.")
@click.option("--targets", default=",".join(TARGETS), show_default=True, help="Hardware targets, comma-separated.")
@_output
def build(name: str, out: Path, train_images: int | None, seed: int, targets: str, output: str) -> None:
    """Builds the model NAME: trains it, compiles it for each target, and writes a folder to register.

    What is compiled may lose no more against its source, on data that neither has seen, than the recipe's budget
    allows; otherwise nothing is written. Progress goes to standard error, the result to standard output. The same
    command gives the same artifacts on the same machine; with SOURCE_DATE_EPOCH set, the same manifests too.

    \b
    python -m models build digits --out build/digits
    python -m models build digits --out build/worse --train-images 40     # has only seen 0, 1, 2 and 3
    """
    with _errors(output):
        entry = catalog.find(name)
        wanted = [target(one.strip()) for one in targets.split(",") if one.strip()]
        check_free(out)
        recipe = entry.recipe()
        with _tools():
            from models.compiler.building import build as run
        built = run(entry.card, recipe, Options(seed, train_images), wanted, out, _now(), _progress)
    _print_built(built, out, output)


@main.command()
@click.argument("name")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The .npz file to write.")
def replay(name: str, out: Path) -> None:
    """Exports the held-out records of the model NAME for an agent to replay: an .npz with inputs/<name> arrays and
    their true labels, by number."""
    with _errors("table"):
        records = catalog.find(name).recipe().held_out()
        import numpy as np

        arrays: dict[str, Any] = {f"inputs/{key}": values for key, values in records.inputs.items()}
        arrays["labels"] = records.labels
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            with out.open("wb") as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise FolderTaken(f"{out} cannot be written: {error}.", "Name a file that you may write.") from error
    _progress(f"wrote {len(records)} records to {out}")


def _print_built(built: "tuple[Built, ...]", out: Path, output: str) -> None:
    if output == "json":
        _json(
            {
                "folder": str(out),
                "artifacts": [
                    {
                        "target": one.target,
                        "digest": one.digest,
                        "size_bytes": one.evidence.size_bytes,
                        "accuracy": one.evidence.accuracy,
                        "source_accuracy": one.evidence.source_accuracy,
                        "agreement": one.evidence.agreement,
                        "golden_agreement": one.golden_agreement,
                        "latency_us": one.evidence.latency_us,
                        "per_channel": one.per_channel,
                    }
                    for one in built
                ],
            }
        )
        return
    _table(
        ("TARGET", "SIZE", "ACCURACY", "SOURCE", "AGREEMENT", "US/INFERENCE"),
        [
            (
                one.target,
                f"{one.evidence.size_bytes / 1024:.1f} KiB",
                f"{one.evidence.accuracy:.4f}",
                f"{one.evidence.source_accuracy:.4f}",
                f"{one.evidence.agreement:.4f}",
                f"{one.evidence.latency_us:.0f}",
            )
            for one in built
        ],
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _progress(sentence: str) -> None:
    click.echo(sentence, err=True)


def _now() -> datetime:
    epoch = environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)


@contextmanager
def _tools() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ToolMissing(
            f"Compiling needs the package {error.name}, and it is not installed.",
            "Install the extra `compile`: pip install 'vedette[compile]'.",
        ) from error


@contextmanager
def _errors(output: str) -> Iterator[None]:
    try:
        yield
    except VedetteError as error:
        if output == "json":
            _json({"code": error.code, "detail": error.what, "remedy": error.remedy})
        click.echo(f"error: {error} [{error.code}]", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m models")
