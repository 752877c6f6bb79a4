"""A client that checks whose answer it got: SOCKET MODEL SHAPE EXPECTED OUT PAUSE, until standard input ends.

EXPECTED is a JSON file of version to scores. OUT gets a line for each answer: when it came (monotonic seconds), what it
took (microseconds), which version said that it was it ("0" when it failed), and whether it was. It rests for PAUSE
seconds before each request.
"""

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
from load_agent import Connection, head

if __name__ == "__main__":
    path, model, shape, expected, out, pause = sys.argv[1:7]
    scores = {version: np.array(one, np.float32) for version, one in json.loads(Path(expected).read_text()).items()}
    record = np.random.default_rng(0).normal(size=[int(side) for side in shape.split("x")]).astype(np.float32)
    tensor = {"name": "x", "datatype": "FP32", "shape": list(record.shape)}
    tensor["parameters"] = {"binary_data_size": record.nbytes}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    first, second = head(f"/v2/models/{model}/infer", header, record.nbytes), memoryview(record).cast("B")
    agent, stop = Connection(path), threading.Event()

    def wait():
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    seconds = float(pause)
    with Path(out).open("w") as lines:
        while not stop.is_set():
            if seconds:
                time.sleep(seconds)
            began = time.monotonic()
            answer, body = agent.ask(first, second)
            ended = time.monotonic()
            version, right = "0", False
            if answer.startswith(b"HTTP/1.1 200"):
                told = bytes(body[:-40])
                version = json.loads(told)["model_version"]
                right = np.allclose(np.frombuffer(body[-40:], np.float32), scores[version], atol=1e-4)
            lines.write(f"{ended:.6f} {(ended - began) * 1e6:.1f} {version} {int(right)}\n")
