"""`python kserve_server.py FOLDER HTTP_PORT GRPC_PORT`: KServe's own model server over the nets in FOLDER."""

import sys
from pathlib import Path

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from sessions import open_session


class Net(Model):
    def __init__(self, name, path):
        super().__init__(name)
        self._session = open_session(path)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        assert isinstance(payload, InferRequest)
        scores = self._session.run(None, {"x": payload.inputs[0].as_numpy()})[0]
        output = InferOutput("scores", list(scores.shape), "FP32")
        output.set_data_from_numpy(scores, binary_data=True)
        return InferResponse(payload.id or "", self.name, [output], use_binary_outputs=payload.use_binary_outputs)


if __name__ == "__main__":
    folder, http_port, grpc_port = sys.argv[1:4]
    nets = [Net(path.stem, path) for path in sorted(Path(folder).glob("*.onnx"))]
    ModelServer(http_port=int(http_port), grpc_port=int(grpc_port), enable_grpc=True, workers=1).start(nets)
