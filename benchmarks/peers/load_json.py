"""A client over HTTP on loopback: PORT PATH BODY NET:SHAPE..., "raw" bytes or "base64" in JSON; PATH with {net}."""

import base64
import http.client
import json
import sys

import numpy as np
import pace

if __name__ == "__main__":
    port, path, body, *nets = sys.argv[1:]
    connection = http.client.HTTPConnection("127.0.0.1", int(port))

    def asking(net, record):
        url = path.format(net=net)

        def ask():
            if body == "raw":
                connection.request("POST", url, record.tobytes(), {"Content-Type": "application/octet-stream"})
            else:
                sent = json.dumps({"x": base64.b64encode(record.tobytes()).decode()})
                connection.request("POST", url, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status == 200, (answer.status, data[:200])
            scores = np.frombuffer(data if body == "raw" else base64.b64decode(json.loads(data)["scores"]), np.float32)
            assert scores.size == 10

        return ask

    pace.run(asking, nets, begin=connection.close)
