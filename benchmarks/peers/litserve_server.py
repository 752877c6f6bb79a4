"""`python litserve_server.py FOLDER PORT`: LitServe over the nets in FOLDER, tensors as base64 in JSON."""

import base64
import sys
from pathlib import Path

import litserve
import numpy as np
from sessions import open_session


class Net(litserve.LitAPI):
    def __init__(self, path):
        super().__init__(api_path=f"/{path.stem}/infer")
        self._path = path

    def setup(self, device):
        self._session = open_session(self._path)
        self._shape = [1, *self._session.get_inputs()[0].shape[1:]]

    def decode_request(self, request):
        return np.frombuffer(base64.b64decode(request["x"]), np.float32).reshape(self._shape)

    def predict(self, x):
        return self._session.run(None, {"x": x})[0]

    def encode_response(self, output):
        return {"scores": base64.b64encode(output.tobytes()).decode()}


if __name__ == "__main__":
    folder, port = sys.argv[1:3]
    apis = [Net(path) for path in sorted(Path(folder).glob("*.onnx"))]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")
