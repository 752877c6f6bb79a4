"""True labels that a person brings as CSV: a text in, rows to count or what is wrong with them out. Pure."""

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from cloud_hub.monitoring.views import LabelRow, LabelsIn

COLUMNS = ("device", "version", "labelled", "correct", "from", "until")
MAX_ROWS = 1_000
_OPTIONAL = ("slot",)


@dataclass(frozen=True)
class Wrong:
    """What is wrong in a line of the text, from 1."""

    line: int
    what: str


@dataclass(frozen=True)
class OfVersion:
    """What the rows say of a version in one of a model's slots."""

    version: int
    slot: str
    rows: int
    labelled: int
    correct: int


def key(model: str, text: str) -> str:
    """What names these labels of `model`, so that they are counted once: as on the command line, however lines end."""
    said = "\n".join([model, *(line for line in text.splitlines() if line)])
    return f"csv-{hashlib.sha256(said.encode()).hexdigest()}"


def read(text: str) -> LabelsIn | list[Wrong]:
    """The rows of `text`, or what is wrong with it."""
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: list[LabelRow] = []
    wrong: list[Wrong] = []
    try:
        names = lines.fieldnames or ()
        if missing := [name for name in COLUMNS if name not in names]:
            return [Wrong(1, f"The first line names no column {', '.join(missing)}.")]
        if more := [name for name in names if name not in COLUMNS + _OPTIONAL]:
            return [Wrong(1, f"There is no column {', '.join(more)}: leave it out.")]
        if twice := [name for name in COLUMNS + _OPTIONAL if names.count(name) > 1]:
            return [Wrong(1, f"The first line names column {', '.join(twice)} twice.")]
        for line in lines:
            # Whether they are right or wrong: to look at each of a million wrong ones takes minutes.
            if len(rows) + len(wrong) == MAX_ROWS:
                return [*wrong, Wrong(lines.line_num, f"{MAX_ROWS:,} rows are taken at once: split them.")]
            match _row(line):
                case LabelRow() as row:
                    rows.append(row)
                case what:
                    wrong.append(Wrong(lines.line_num, what))
    except csv.Error as error:
        wrong.append(Wrong(lines.reader.line_num, f"This is not CSV: {error}."))
    if not rows and not wrong:
        return [Wrong(1, "There is no row below the columns' names.")]
    return wrong or LabelsIn(rows=tuple(rows))


def by_version(said: LabelsIn) -> list[OfVersion]:
    """What `said` adds to each version's evidence, the newest first; what it says beside another is apart."""
    found: dict[tuple[int, str], list[LabelRow]] = {}
    for row in said.rows:
        found.setdefault((row.version, row.slot), []).append(row)
    return [
        OfVersion(version, slot, len(rows), sum(row.labelled for row in rows), sum(row.correct for row in rows))
        for (version, slot), rows in sorted(found.items(), key=lambda one: (-one[0][0], one[0][1]))
    ]


def _row(line: Mapping[str | None, str | None]) -> LabelRow | str:
    if None in line:
        return "It has more cells than there are columns."
    if any("\0" in cell for cell in line.values() if cell):
        return "It has a character U+0000, as files have that are no text."
    try:
        return LabelRow.model_validate({name: cell for name, cell in line.items() if cell or name not in _OPTIONAL})
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{first['loc'][0]}: " if first["loc"] else ""
        return f"{where}{str(first['msg']).removeprefix('Value error, ').rstrip('.')}."
