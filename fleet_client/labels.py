"""Labels that arrived late, read from a CSV file."""

import csv
import hashlib
import io
from pathlib import Path

import msgspec

from fleet_client.errors import LabelsWrong
from fleet_client.views import Labels

_COLUMNS = "device, version, labelled, correct, from and until, and maybe slot"


def read(file: Path, model: str) -> tuple[list[Labels], str]:
    """The rows of `file`, and the key that names them as labels of `model`. Raises `LabelsWrong`."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
        lines = csv.DictReader(io.StringIO(text), strict=True)
        rows = [_row(file, lines.line_num, line) for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelsWrong(f"{file} cannot be read: {error}.", f"It is CSV with the columns {_COLUMNS}.") from error
    if not rows:
        raise LabelsWrong(f"{file} has no rows.", f"It is CSV with the columns {_COLUMNS}.")
    return rows, _key(model, text)


def _key(model: str, text: str) -> str:
    # However its lines end: the same rows pasted into the console have it, too.
    said = "\n".join([model, *(line for line in text.splitlines() if line)])
    return f"csv-{hashlib.sha256(said.encode()).hexdigest()}"


def _row(file: Path, number: int, line: dict[str | None, str]) -> Labels:
    try:
        # In strings numbers stay numbers: that is how CSV has them.
        return msgspec.convert({name: value for name, value in line.items() if name}, Labels, strict=False)
    except msgspec.ValidationError as error:
        raise LabelsWrong(f"{file}:{number}: {error}.", f"Its columns are {_COLUMNS}.") from error
