"""A client over HTTP on loopback: MODE SECONDS START PORT PATH SHAPE BODY, which is "raw" bytes or "base64" in JSON."""

import base64
import http.client
import json
import sys

import numpy as np
import pace

if __name__ == "__main__":
    port, path, shape, body = sys.argv[4:8]
    record = np.random.default_rng(0).normal(size=[int(side) for side in shape.split("x")]).astype(np.float32)
    connection = http.client.HTTPConnection("127.0.0.1", int(port))

    def ask():
        if body == "raw":
            connection.request("POST", path, record.tobytes(), {"Content-Type": "application/octet-stream"})
        else:
            sent = json.dumps({"x": base64.b64encode(record.tobytes()).decode()})
            connection.request("POST", path, sent, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == 200, (answer.status, data[:200])
        scores = np.frombuffer(data if body == "raw" else base64.b64decode(json.loads(data)["scores"]), np.float32)
        assert scores.size == 10

    pace.run(ask)
