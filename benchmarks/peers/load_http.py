"""A client over HTTP on loopback: PORT PATH WAY FOLDER NET:SHAPE..., PATH with {net}.

The way is "raw" bytes, "base64" in JSON, or of the Open Inference Protocol "binary" tensors or numbers in JSON, "v2".
"""

import base64
import http.client
import json
import sys

import numpy as np
import pace


def raw(record):
    return {"Content-Type": "application/octet-stream"}, record.tobytes()


def raw_scores(answer, headers):
    return np.frombuffer(answer, np.float32)


def base64_(record):
    body = json.dumps({"x": base64.b64encode(record.tobytes()).decode()})
    return {"Content-Type": "application/json"}, body.encode()


def base64_scores(answer, headers):
    return np.frombuffer(base64.b64decode(json.loads(answer)["scores"]), np.float32)


def binary(record):
    tensor = _tensor(record, parameters={"binary_data_size": record.nbytes})
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    told = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(header))}
    return told, header + record.tobytes()


def binary_scores(answer, headers):
    return np.frombuffer(answer[int(headers["Inference-Header-Content-Length"]) :], np.float32)


def v2(record):
    body = json.dumps({"inputs": [_tensor(record, data=record.ravel().tolist())]})
    return {"Content-Type": "application/json"}, body.encode()


def v2_scores(answer, headers):
    return np.array(json.loads(answer)["outputs"][0]["data"], np.float32)


def _tensor(record, **more):
    return {"name": "x", "datatype": "FP32", "shape": list(record.shape), **more}


WAYS = {
    "raw": (raw, raw_scores),
    "base64": (base64_, base64_scores),
    "binary": (binary, binary_scores),
    "v2": (v2, v2_scores),
}

if __name__ == "__main__":
    port, path, way, *more = sys.argv[1:]
    connection = http.client.HTTPConnection("127.0.0.1", int(port))
    written, read = WAYS[way]

    def asking(net, record):
        url = path.format(net=net)

        def ask():
            headers, body = written(record)
            connection.request("POST", url, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status == 200, (answer.status, data[:200])
            return read(data, answer.headers), len(data)

        headers, body = written(record)
        return {"url": f"http://127.0.0.1:{port}{url}", "http": 1, "headers": headers}, body, ask

    pace.run(asking, more, begin=connection.close)
