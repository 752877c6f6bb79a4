"""`FOLDER=... bentoml serve bentoml_service:Nets`: BentoML over the nets in FOLDER, tensors as raw bytes."""

import os
from pathlib import Path

import bentoml
import numpy as np
from sessions import open_session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_SESSIONS = {path.stem: open_session(path) for path in sorted(Path(os.environ["FOLDER"]).glob("*.onnx"))}


async def infer(request: Request) -> Response:
    session = _SESSIONS[request.path_params["model"]]
    shape = [1, *session.get_inputs()[0].shape[1:]]
    record = np.frombuffer(await request.body(), np.float32).reshape(shape)
    return Response(session.run(None, {"x": record})[0].tobytes(), media_type="application/octet-stream")


_app = Starlette(routes=[Route("/{model}/infer", infer, methods=["POST"])])


@bentoml.service(workers=1)
@bentoml.asgi_app(_app, path="/raw")
class Nets:
    pass
