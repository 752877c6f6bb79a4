"""Answers for people and for programs: tables on a terminal, tab-separated when piped, JSON when asked for."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from fleet_client.errors import HubRefused
from fleet_contract.errors import VedetteError

#: Colours of what a word means, in rich's names; all that is not here stays plain.
STYLES = {
    "online": "green",
    "silent": "yellow",
    "lost": "red",
    "closing": "yellow",
    "settled": "green",
    "rejected": "red",
    "running": "cyan",
    "completed": "green",
    "paused": "yellow",
    "reverting": "red",
    "reverted": "red",
    "stopped": "red",
    "aborted": "red",
    "superseded": "dim",
    "done": "green",
    "open": "cyan",
    "waiting": "dim",
    "met": "green",
    "missing": "yellow",
    "pass": "green",
    "fail": "red",
    "not-enough-evidence": "yellow",
}

#: What a terminal takes for orders: much of what is shown is in a device's own words.
_ORDERS = {code: "?" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


@dataclass(frozen=True)
class Output:
    """Where a command's answer goes, and in which form."""

    json: bool
    lines: bool = False
    """One document a line: for what is watched, and so has no end."""

    @property
    def terminal(self) -> bool:
        return not self.json and sys.stdout.isatty()

    @property
    def coloured(self) -> bool:
        return self.terminal and not os.environ.get("NO_COLOR")

    def document(self, value: Any) -> None:
        """`value`, anything that msgspec encodes, as JSON."""
        text = msgspec.json.encode(value)
        click.echo((text if self.lines else msgspec.json.format(text, indent=2)).decode())
        sys.stdout.flush()

    def line(self, text: str) -> None:
        click.echo(text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str = "") -> None:
        """Rows under `columns`; `empty` is said on stderr when there are none."""
        rows = [list(row) for row in rows]
        if not rows and empty and self.terminal:
            click.echo(empty, err=True)
            return
        if not self.terminal:
            click.echo("\t".join(columns))
            for row in rows:
                click.echo("\t".join(_plain(" ".join(cell.split())) for cell in row))
            return
        # Not on every start: importing rich costs as much as the rest of the command.
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(_plain(cell), STYLES.get(cell, "")) for cell in row))
        Console().print(table)

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Names and values, one pair a line; pairs without a value are left out."""
        shown = [(name, value) for name, value in pairs if value]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            bold, end = ("\033[1m", "\033[0m") if self.terminal else ("", "")
            separator = "  " if self.terminal else "\t"
            click.echo(f"{bold}{name:<{width if self.terminal else 0}}{end}{separator}{_plain(value)}")

    def refresh(self) -> None:
        """Clears the screen of a terminal; elsewhere what came before stays."""
        if self.terminal:
            click.clear()


def _plain(text: str) -> str:
    return text.translate(_ORDERS)


def complain(error: VedetteError) -> None:
    """Says on stderr what went wrong and what to do; of a text with faults, each at its line."""
    bold, end = ("\033[1;31m", "\033[0m") if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else ("", "")
    remedy = f"\n  {error.remedy}" if error.remedy else ""
    faults = error.faults if isinstance(error, HubRefused) else ()
    if not faults:
        click.echo(f"{bold}Error:{end} {error.what} [{error.code}]{remedy}", err=True)
        return
    for fault in faults:
        number = str(fault.line)
        click.echo(f"{bold}{fault.file}:{fault.line}:{fault.column}:{end} {fault.sentence}", err=True)
        click.echo(f"  {number} | {fault.excerpt}", err=True)
        if fault.column <= len(fault.excerpt) + 1:
            click.echo(f"  {' ' * len(number)} | {' ' * (fault.column - 1)}^", err=True)
    told = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    click.echo(f"{bold}Error:{end} {told}. [{error.code}]{remedy}", err=True)


def ago(at: datetime | None) -> str:
    """How long ago `at` was, in the one unit that tells most."""
    if at is None:
        return "never"
    seconds = max(0.0, (datetime.now(UTC) - at).total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def pairs(labels: Mapping[str, object]) -> str:
    """Labels, and other things with names, as key=value."""
    return " ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def size(size_bytes: int) -> str:
    """Bytes in a unit that a person reads."""
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
