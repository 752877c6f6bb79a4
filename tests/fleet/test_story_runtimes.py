"""Whatever a device can run goes the whole way: handed in, admitted, rolled out, proved on the device, and asked."""

import io
import json
import socket
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fleet_client.errors import ClientError
from fleet_contract.encoding import encode
from fleet_contract.manifest import Golden, Histogram, Reference, Tensor
from tests.fakes.releases import a_manifest, blob_of
from tests.fakes.tiny_models import SAMPLES, Build, an_echo, images, scores_of
from tests.fakes.tiny_tflite import a_linear_tflite, a_tflite_build
from tests.fleet.world import NO_GATES, Agent, AgentFactory, Hub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
AT_ONCE = {"waves": [{"percent": 100}], "soak_seconds": 0, "minimum_records": 0, "gates": NO_GATES, "rate": None}


def of_words() -> Build:
    """A model that gives back the strings that it gets, and names no labels."""
    words = np.array([["a", "über"]] * SAMPLES)
    golden = io.BytesIO()
    np.savez(golden, **{"inputs/x": words, "outputs/y": words})
    artifact = an_echo("BYTES")
    manifest = a_manifest(
        model="words",
        task="tagging",
        inputs=(Tensor("x", "BYTES", (-1, 2)),),
        outputs=(Tensor("y", "BYTES", (-1, 2)),),
        artifact=blob_of(artifact),
        golden=Golden(blob_of(golden.getvalue()), SAMPLES, min_agreement=1.0, max_abs_error=0.0),
    )
    nothing = Reference(1, {}, Histogram((0.5,), (0, 0)))
    return Build(msgspec.structs.replace(manifest, labels=(), reference=nothing), artifact, golden.getvalue())


def handed_in(folder: Path, build: Build) -> Path:
    """The folder that it is registered from."""
    folder.mkdir()
    target = build.manifest.target
    (folder / f"artifact.{target}.{build.manifest.runtime}").write_bytes(build.artifact)
    (folder / "golden.npz").write_bytes(build.golden)
    manifest = msgspec.structs.replace(build.manifest, version=0)
    (folder / f"manifest.{target}.json").write_bytes(encode(manifest))
    return folder


def asked(agent: Agent, model: str, tensor: dict[str, Any]) -> Any:
    connection = HTTPConnection("localhost", timeout=240)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(agent.state / "vedette.sock"))
    connection.request("POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}))
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["outputs"][0]["data"]


def test_a_tflite_model_and_one_of_strings_go_the_whole_way(hub: Hub, agent: AgentFactory, tmp_path: Path) -> None:
    one = agent("press-07")
    tflite = a_tflite_build(1, model="parts")
    for build in (tflite, of_words()):
        model = build.manifest.model
        hub.client.models.register(handed_in(tmp_path / model, build))
        hub.client.rollouts.create(model, 1, AT_ONCE)
    one.runs("parts", 1)
    one.runs("words", 1)
    image = {"name": "image", "datatype": "FP32", "shape": [1, 4], "data": images()[0].tolist()}
    assert asked(one, "parts", image) == pytest.approx(scores_of(1)[0].tolist(), rel=1e-4)
    words = {"name": "x", "datatype": "BYTES", "shape": [1, 2], "data": ["für", ""]}
    assert asked(one, "words", words) == ["für", ""]


def test_a_tflite_model_that_computes_something_else_is_not_let_in(hub: Hub, tmp_path: Path) -> None:
    other = a_linear_tflite(2)
    build = a_tflite_build(1, model="parts")
    wrong = Build(msgspec.structs.replace(build.manifest, artifact=blob_of(other)), other, build.golden)
    with pytest.raises(ClientError) as caught:
        hub.client.models.register(handed_in(tmp_path / "parts", wrong))
    assert caught.value.code == "golden-set-failed"
