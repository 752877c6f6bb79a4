"""`python mlserver_runtime.py FOLDER HTTP_PORT GRPC_PORT`: MLServer over the nets in FOLDER, in its own process alone.

A pool of processes would copy each tensor between them, and on two cores it is slower.
"""

import asyncio
import sys
from pathlib import Path

from mlserver import MLModel, MLServer
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters, ModelSettings, Settings
from mlserver.types import InferenceResponse
from sessions import open_session


class Net(MLModel):
    async def load(self):
        self._session = open_session(self.settings.parameters.uri)
        return True

    async def predict(self, payload):
        scores = self._session.run(None, {"x": NumpyCodec.decode_input(payload.inputs[0])})[0]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("scores", scores)])


async def main():
    folder, http_port, grpc_port = sys.argv[1:4]
    settings = Settings(
        host="127.0.0.1",
        http_port=int(http_port),
        grpc_port=int(grpc_port),
        metrics_endpoint=None,
        parallel_workers=0,
        debug=False,
        grpc_max_message_length=64 * 1024 * 1024,
    )
    server = MLServer(settings)
    nets = [
        ModelSettings(name=path.stem, implementation=Net, parameters=ModelParameters(uri=str(path)))
        for path in sorted(Path(folder).glob("*.onnx"))
    ]
    await server.start(nets)


if __name__ == "__main__":
    asyncio.run(main())
