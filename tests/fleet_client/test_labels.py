"""Labels in a CSV file become rows for the hub, or are named by their line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud_hub.console import label_form
from fleet_client.errors import LabelsWrong
from fleet_client.labels import read
from fleet_client.views import Labels

HEAD = "device,version,labelled,correct,from,until\n"
ROW = "gateway-1,4,200,188,2026-11-27T10:00:00Z,2026-11-27T11:00:00Z\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text)
    return path


def test_a_file_gives_its_rows_and_a_key_of_its_content(tmp_path: Path) -> None:
    rows, key = read(written(tmp_path, HEAD + ROW), "digits")
    ten, eleven = (datetime(2026, 11, 27, hour, tzinfo=UTC) for hour in (10, 11))
    assert rows == [Labels("gateway-1", 4, 200, 188, ten, eleven)]
    assert read(written(tmp_path, HEAD + ROW), "digits")[1] == key
    assert read(written(tmp_path, HEAD + ROW + ROW), "digits")[1] != key
    assert read(written(tmp_path, HEAD + ROW), "vibration")[1] != key


def test_the_key_is_the_consoles_however_lines_end(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    for text in (HEAD + ROW, "\ufeff" + HEAD + ROW, HEAD + ROW.rstrip(), (HEAD + ROW).replace("\n", "\r\n")):
        path.write_bytes(text.encode())
        assert read(path, "digits")[1] == label_form.key("digits", HEAD + ROW)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rows"),
        (HEAD, "has no rows"),
        (HEAD + ROW + ROW.replace("200", "many"), "labels.csv:3: Expected `int`"),
        (HEAD + "gateway-1,4\n", "labels.csv:2"),
        (HEAD.replace("correct", "right") + ROW, "missing required field `correct`"),
        (HEAD + '"gateway-1', "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_told_by_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(LabelsWrong) as caught:
        read(written(tmp_path, text), "digits")
    assert words in str(caught.value)
