"""A disk that takes no more: the append fails with a reason, and the table is as it was."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cloud_hub.lake.location import Location
from cloud_hub.lake.table import LakeTable

_PROGRAM = """
import resource, signal, sys
from cloud_hub.lake.location import Location
from cloud_hub.lake.rows import PARTITION
from cloud_hub.lake.schema import SCHEMA, TABLE
from cloud_hub.lake.table import LakeTable, LakeUnavailable
from tests.fakes.lake import NOW, rows

table = LakeTable(Location.of(sys.argv[1], TABLE), SCHEMA, PARTITION)
seen, _ = table.marks()
seen = table.append(rows(1), {"gateway-1/b0": 1}, seen, NOW)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
try:
    table.append(rows(*range(2, 300)), {"gateway-1/b0": 299}, seen, NOW)
except LakeUnavailable as error:
    print(error.code, error)
"""


def test_a_write_that_the_disk_refuses_changes_nothing(
    tmp_path: Path, open_table: Callable[[Location], LakeTable]
) -> None:
    # In a process of its own, which may write no file beyond 3 kB: the kernel then fails the write midway.
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("lake-unavailable The lake at")
    assert "File too large" in done.stdout
    assert "has room" in done.stdout
    table = open_table(Location.of(str(tmp_path), "windows"))
    assert table.marks() == (1, {"gateway-1/b0": 1})
    assert table.size().rows == 1
