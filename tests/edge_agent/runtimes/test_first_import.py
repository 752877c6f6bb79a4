"""The runtime and what feeds it start at the same moment, each on a thread of its own, and both need NumPy."""

import subprocess
import sys

_AT_ONCE = """
import importlib, sys, threading
start, failed = threading.Barrier(2), []

def load(name):
    start.wait()
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed.append(error)

threads = [threading.Thread(target=load, args=(name,)) for name in sys.argv[1:]]
for one in threads:
    one.start()
for one in threads:
    one.join()
sys.exit(str(failed) if failed else 0)
"""


def test_both_get_it_whole() -> None:
    for _ in range(2):
        command = [sys.executable, "-c", _AT_ONCE, "edge_agent.runtimes.onnx", "edge_agent.sources.replay"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
