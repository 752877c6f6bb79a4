"""The agent gives back what only loading has needed, and goes on as if nothing had been taken."""

import ctypes
import gc
import subprocess
import sys
from pathlib import Path

from edge_agent import huge_pages, memory
from edge_agent.memory import code_in
from tests.fakes.tiny_models import FEATURES, a_linear_model

MAPS = """\
55d0c0000000-55d0c0001000 r--p 00000000 fe:01 1311 /usr/bin/python3.11
55d0c0001000-55d0c0003000 r-xp 00001000 fe:01 1311 /usr/bin/python3.11
55d0c0003000-55d0c0004000 rw-p 00003000 fe:01 1311 /usr/bin/python3.11
55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000010000 r-xp 00000000 00:00 0
7f0000020000-7f0000021000 rwxp 00000000 fe:01 1312 /usr/lib/libwritable.so
7f0000030000-7f0000031000 r-xs 00000000 fe:01 1313 /usr/lib/libshared.so
7f0000040000-7f0000042000 r-xp 00000000 fe:01 1314 /usr/lib/a name with spaces.so (deleted)
7f0000050000-7f0000051000 r--p 00001000 fe:01 1314 /usr/lib/relocated.so
7fff00000000-7fff00001000 r-xp 00000000 00:00 0 [vdso]
"""
SCRIPT = f"""
import sys
from pathlib import Path
import numpy as np
from edge_agent import huge_pages, memory
from edge_agent.runtimes import open_session

def resident():
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return int(rollup.partition("Rss:")[2].split()[0])

session = open_session("onnx", Path(sys.argv[1]))
image = np.ones((2, {FEATURES}), dtype=np.float32)
before, answer = resident(), session.run({{"image": image}})["scores"]
memory.give_back()
memory.forget_code()
assert (session.run({{"image": image}})["scores"] == answer).all()
import json, sqlite3, http.client
print(before, resident())
"""


def test_only_code_that_lies_in_a_file_too_is_forgotten() -> None:
    assert code_in(MAPS) == [(0x55D0C0001000, 0x2000), (0x7F0000040000, 0x2000)]


def test_eight_megabytes_that_a_loaded_model_occupies_are_code_that_it_needs_no_more(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(a_linear_model(1))
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT, model], check=True, capture_output=True, text=True, cwd=Path.cwd()
    )
    before, after = map(int, said.stdout.split())
    assert before - after > 8 * 1024


def test_giving_back_takes_no_memory_itself(tmp_path: Path) -> None:
    (maps := tmp_path / "maps").write_text("")
    gc.collect()
    gc.disable()
    try:
        before = libraries()
        for _ in range(5):
            memory.give_back()
            memory.forget_code(maps)
            sum(huge_pages.gather())
        assert libraries() == before
    finally:
        gc.enable()


def libraries() -> int:
    return sum(type(one) is ctypes.CDLL for one in gc.get_objects())


def test_once_started_garbage_is_looked_for_again_and_only_among_what_is_new() -> None:
    code = """
import gc
gc.disable()
from edge_agent import huge_pages, memory
memory.settle()
print(gc.isenabled(), gc.get_freeze_count())
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path.cwd())
    enabled, frozen = said.stdout.split()
    assert enabled == "True"
    assert int(frozen) > 1000


def test_what_python_keeps_of_freed_objects_is_given_back_only_by_a_full_collection() -> None:
    code = """
import sys
from edge_agent import huge_pages, memory
memory.settle()
memory.collect()
before = sys.getallocatedblocks()
kept = [tuple(range(i, i + 20)) for i in range(1000)]
del kept
print(sys.getallocatedblocks() - before)
memory.collect()
print(sys.getallocatedblocks() - before)
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path.cwd())
    held, left = map(int, said.stdout.split())
    assert left < 100 < held


def test_nothing_is_collected_before_the_start_is_over() -> None:
    code = """
import gc
gc.disable()
from edge_agent import memory
before = gc.get_stats()
memory.collect()
print(gc.get_stats() == before)
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path.cwd())
    assert said.stdout == "True\n"
