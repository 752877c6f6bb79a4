"""What an application asks, and what it is told: the Open Inference Protocol and Triton's extensions of it."""

import gzip
import json
import zlib

import numpy as np
import pytest

from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving import budget
from edge_agent.serving.http import inference
from edge_agent.serving.port import Overloaded
from edge_agent.serving.statistics import Batches, Counted
from fleet_contract.manifest import Tensor
from tests.fakes.engine import FakeEngine, takes
from tests.fakes.wire import request, served

NUMBERS = np.arange(8, dtype="<f4").reshape(2, 4)


@pytest.fixture(scope="module")
def engine():
    return FakeEngine(
        takes("digits", Tensor("image", "FP32", (-1, 4)), version=3),
        takes("pair", Tensor("left", "INT64", (-1,)), Tensor("right", "BYTES", (-1,))),
    )


@pytest.fixture(scope="module")
def server(engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    shared = folder / "shm"
    shared.mkdir()
    (shared / "tensors").write_bytes(NUMBERS.tobytes() + bytes(96))
    with served(engine, folder, shared_memory=shared) as running:
        yield running


@pytest.fixture
def wire(server, engine):
    engine.fails = None
    engine.unready.clear()
    return server.wire()


def image(data=None, **parameters):
    given = {"name": "image", "datatype": "FP32", "shape": [2, 4], "parameters": parameters}
    return given if data is None else {**given, "data": data}


def test_the_server_says_who_it_is(wire):
    for path in ("/v2", "/v2/"):
        assert wire.get(path).json["name"] == "vedette"
    assert "system_shared_memory" in wire.get("/v2").json["extensions"]


def test_health_is_told_with_and_without_words(wire, engine):
    assert wire.get("/v2/health/live").json == {"live": True}
    assert wire.get("/v2/health/ready").json == {"ready": True}
    engine.unready.add("digits")
    reply = wire.get("/v2/health/ready")
    assert reply.status == 503
    assert "digits" in reply.error
    assert wire.get("/v2/health/live").status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/digits/ready", 200),
        ("/v2/models/digits/versions/3/ready", 200),
        ("/v2/models/digits/versions/4/ready", 404),
        ("/v2/models/none/ready", 404),
        ("/v2/models/digits", 200),
        ("/v2/models/digits/versions/3", 200),
        ("/v2/models/%64igits/config", 200),
        ("/v2/models/digits/versions/3/config", 200),
        ("/v2/models/digits/versions/4", 404),
        ("/v2/models/none", 404),
        ("/v2/models", 404),
        ("/v2/models/", 404),
        ("/v2/models//ready", 404),
        ("/v2/models/digits/versions", 404),
        ("/v2/models/infer", 404),
        ("/v2/models/digits/stats", 200),
        ("/v2/models/digits/versions/3/stats", 200),
        ("/v2/models/digits/versions/4/stats", 404),
        ("/v2/models/none/stats", 404),
        ("/v2/systemsharedmemory/region/none/status", 404),
        ("/v2/cudasharedmemory/region/none/status", 404),
        ("/v2/logging", 404),
        ("/v1/models/digits", 404),
        ("/", 404),
        ("/v20", 404),
    ],
)
def test_what_is_not_there_is_told_from_what_is(wire, path, status):
    reply = wire.get(path)
    assert reply.status == status
    assert status == 200 or reply.error


def test_a_model_that_is_not_ready_may_be_asked_for_again(wire, engine):
    engine.unready.add("digits")
    for reply in (wire.get("/v2/models/digits/ready"), wire.infer({"inputs": [image([0] * 8)]})):
        assert reply.status == 503
        assert reply.fields["retry-after"] == "1"


def test_metadata_and_configuration_name_each_tensor(wire):
    metadata = wire.get("/v2/models/pair").json
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"][1] == {"name": "right", "datatype": "BYTES", "shape": [-1]}
    config = wire.get("/v2/models/pair/config").json
    assert config["input"][1] == {"name": "right", "data_type": "TYPE_STRING", "dims": [-1]}


def test_statistics_are_those_of_triton(wire):
    (one,) = wire.get("/v2/models/digits/stats").json["model_stats"]
    assert (one["name"], one["version"]) == ("digits", "3")
    assert one["inference_stats"]["success"].keys() == {"count", "ns"}
    assert {one["name"] for one in wire.get("/v2/models/stats").json["model_stats"]} == {"digits", "pair"}


def test_statistics_tell_batches_by_their_size_and_versions_of_before(wire, engine, monkeypatch):
    counted = {
        2: Counted(success_count=1, fail_count=2, queue_ns=9),
        3: Counted(batches={4: Batches(2, 10, 20, 30), 1: Batches(1, 1, 2, 3)}),
    }
    monkeypatch.setattr(engine, "statistics", lambda _: counted)
    (before,) = wire.get("/v2/models/digits/versions/2/stats").json["model_stats"]
    assert before["inference_stats"]["queue"] == {"count": 3, "ns": 9}, "who failed has waited, too"
    (one,) = wire.get("/v2/models/digits/versions/3/stats").json["model_stats"]
    assert [batch["batch_size"] for batch in one["batch_stats"]] == [1, 4]
    assert one["batch_stats"][1]["compute_infer"] == {"count": 2, "ns": 20}
    assert wire.get("/v2/models/digits/versions/1/stats").status == 404


def test_the_index_names_the_models_and_what_they_wait_for(wire, engine):
    engine.unready.add("pair")
    ready, waiting = wire.post("/v2/repository/index", {}).json
    assert ready == {"name": "digits", "version": "3", "state": "READY", "reason": ""}
    assert waiting["state"] == "UNAVAILABLE"
    assert waiting["reason"]
    assert [one["name"] for one in wire.post("/v2/repository/index", {"ready": True}).json] == ["digits"]
    assert len(wire.ask("POST", "/v2/repository/index").json) == 2


def test_the_hub_decides_what_runs(wire):
    reply = wire.post("/v2/repository/models/digits/unload", {})
    assert reply.status == 403
    assert "hub" in reply.error


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2", "GET, HEAD"),
        ("DELETE", "/v2/models/digits", "GET, HEAD"),
        ("GET", "/v2/models/digits/infer", "POST"),
        ("PUT", "/v2/repository/index", "POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(wire, method, path, allowed):
    reply = wire.ask(method, path)
    assert (reply.status, reply.fields["allow"]) == (405, allowed)


def test_a_head_is_answered_without_a_body(wire):
    reply = wire.ask("HEAD", "/v2")
    assert reply.status == 200
    assert int(reply.fields["content-length"]) > 0
    assert wire.get("/v2/health/live").status == 200


# --- inference


def test_json_goes_in_and_out(wire):
    reply = wire.infer({"id": "seven", "inputs": [image(NUMBERS.tolist())]})
    assert reply.json == {
        "model_name": "digits",
        "model_version": "3",
        "id": "seven",
        "outputs": [
            {"name": "image_out", "datatype": "FP32", "shape": [2, 4], "data": [0, 2, 4, 6, 8, 10, 12, 14]},
        ],
    }


def test_flat_data_and_a_version_will_do(wire):
    body = json.dumps({"inputs": [image(list(range(8)))]}).encode()
    assert wire.ask("POST", "/v2/models/digits/versions/3/infer", body).json["model_version"] == "3"
    assert wire.ask("POST", "/v2/models/digits/versions/4/infer", body).status == 404


@pytest.mark.parametrize("how", ["asked for each", "asked for all"])
def test_binary_goes_in_and_out(wire, how):
    content = {"inputs": [image(binary_data_size=32)]}
    if how == "asked for all":
        content["parameters"] = {"binary_data_output": True}
    else:
        content["outputs"] = [{"name": "image_out", "parameters": {"binary_data": True}}]
    reply = wire.infer(content, NUMBERS.tobytes())
    np.testing.assert_array_equal(reply.tensor("image_out"), NUMBERS * 2)


def test_json_and_binary_tensors_can_be_mixed(wire):
    left = {"name": "left", "datatype": "INT64", "shape": [2], "data": [1, -(2**60)]}
    right = {"name": "right", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 7}}
    outputs = [{"name": "left_out", "parameters": {"binary_data": True}}, {"name": "right_out"}]
    reply = wire.infer({"inputs": [left, right], "outputs": outputs}, b"\x03\0\0\0one", model="pair")
    assert reply.tensor("left_out", "<i8").tolist() == [2, -(2**61)]
    assert reply.json["outputs"][1]["data"] == ["one"]


def test_bare_bytes_are_the_only_input(wire):
    reply = wire.ask("POST", "/v2/models/digits/infer", NUMBERS.tobytes(), "Inference-Header-Content-Length: 0")
    np.testing.assert_array_equal(reply.tensor("image_out"), NUMBERS * 2)
    reply = wire.ask("POST", "/v2/models/pair/infer", b"xx", "Inference-Header-Content-Length: 0")
    assert reply.status == 400


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_packed_request_is_understood(wire, encoding, pack):
    header = json.dumps({"inputs": [image(binary_data_size=32)]}).encode()
    body = pack(header + NUMBERS.tobytes())
    fields = [f"Content-Encoding: {encoding}", f"Inference-Header-Content-Length: {len(header)}"]
    reply = wire.ask("POST", "/v2/models/digits/infer", body, *fields)
    assert reply.json["outputs"][0]["data"] == (NUMBERS * 2).reshape(-1).tolist()


def test_python_clients_may_write_what_json_lacks(wire):
    reply = wire.infer({"inputs": [image([float("nan"), 1, 2, 3, 4, 5, 6, 7])]})
    assert reply.json["outputs"][0]["data"][:2] == [None, 2.0]
    reply = wire.infer({"inputs": [image([None, 1, 2, 3, 4, 5, 6, 7])]})
    assert reply.json["outputs"][0]["data"][:2] == [None, 2.0]
    reply = wire.infer({"inputs": [image([float("inf"), 1, 2, 3, 4, 5, 6, 7])]})
    assert reply.status == 400
    assert "infinity" in reply.error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "inputs"),
        ([], "object"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": []}, "'image' is missing"),
        ({"inputs": [image([0] * 8), image([0] * 8)]}, "'image' is there twice"),
        ({"inputs": [image([0] * 7)]}, "'image'"),
        ({"inputs": [image(["x"] * 8)]}, "'image'"),
        ({"inputs": [image(None)]}, "'image' has no data"),
        ({"inputs": [{**image([0] * 8), "datatype": "BF16"}]}, "'image': no model here takes BF16"),
        ({"inputs": [{**image([0] * 8), "datatype": "FP33"}]}, "'image' has the unknown datatype 'FP33'"),
        ({"inputs": [{**image([0] * 8), "shape": "x"}]}, "'image'"),
        ({"inputs": [{**image([0] * 8), "shape": [-1, 4]}]}, "'image'"),
        ({"inputs": [{"datatype": "FP32", "shape": [1]}]}, "Tensor 0"),
        ({"inputs": [image(binary_data_size=-1)]}, "'image'"),
        ({"inputs": [image(shared_memory_region="none", shared_memory_byte_size=32)]}, "'none'"),
        ({"inputs": [image([0] * 8)], "outputs": [{"name": "wrong"}]}, "'wrong'"),
        (
            {"inputs": [image([0] * 8)], "outputs": [{"name": "image_out", "parameters": {"classification": 3}}]},
            "'image_out': classification",
        ),
        ({"inputs": [image([0] * 8)], "outputs": {}}, "outputs"),
        ({"inputs": [image([0] * 8)], "id": 7}, "id"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(wire, content, words):
    reply = wire.infer(content)
    assert reply.status == 400
    assert words in reply.error
    assert wire.get("/v2/health/live").status == 200, "the connection goes on"


@pytest.mark.parametrize(
    ("size", "sent", "words"), [(32, 31, "'image'"), (31, 31, "'image'"), (32, 33, "1 bytes belong to no tensor")]
)
def test_binary_tensors_have_just_the_bytes_that_they_say(wire, size, sent, words):
    reply = wire.infer({"inputs": [image(binary_data_size=size)]}, bytes(sent))
    assert reply.status == 400
    assert words in reply.error


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"inputs": [NaN]}', b'{"inputs":NaN}', b"NaN"]
)
def test_what_is_no_json_is_refused(wire, body):
    reply = wire.ask("POST", "/v2/models/digits/infer", body)
    assert reply.status == 400
    assert reply.error


def test_a_name_that_is_no_text_can_be_told_all_the_same(wire):
    body = b'{"inputs": [{"name": "\\ud800", "datatype": "FP32", "shape": [1], "data": [NaN]}]}'
    assert wire.ask("POST", "/v2/models/digits/infer", body).status == 400
    assert wire.get("/v2/models/%ff%00").status == 404


def test_overload_says_when_to_come_back(wire, engine):
    engine.fails = Overloaded("64 requests wait already.", retry_after_seconds=2)
    reply = wire.infer({"inputs": [image([0] * 8)]})
    assert (reply.status, reply.fields["retry-after"]) == (503, "2")
    assert reply.json["code"] == "overloaded"


def test_each_refusal_has_a_code_beside_its_words(wire, engine):
    codes = {
        ("POST", "/v2/models/digits/infer"): "input-wrong",
        ("PUT", "/v2/models/digits/infer"): "method-wrong",
        ("GET", "/v2/models/none"): "model-unknown",
        ("GET", "/v2/nothing"): "nothing-there",
        ("POST", "/v2/repository/models/digits/load"): "not-yours",
        ("POST", "/v2/systemsharedmemory/region/r/register"): "request-wrong",
    }
    for (method, path), code in codes.items():
        assert wire.ask(method, path).json["code"] == code
    engine.unready.add("digits")
    assert wire.get("/v2/models/digits").json["code"] == "model-unready"


def test_a_model_that_fails_is_nobody_elses_fault(wire, engine):
    engine.fails = InferenceFailed("The model could not answer.")
    assert wire.infer({"inputs": [image([0] * 8)]}).status == 500


def test_an_engine_that_breaks_its_promise_is_logged_and_not_told(wire, engine, caplog, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(engine, "submit", broken)
    reply = wire.infer({"inputs": [image([0] * 8)]})
    assert reply.status == 500
    assert reply.json["code"] == "agent-failed"
    assert "secret" not in reply.error
    assert "a secret" in caplog.text


# --- shared memory


@pytest.fixture
def region(wire):
    wire.post("/v2/systemsharedmemory/region/r/register", {"key": "/tensors", "offset": 0, "byte_size": 128})
    yield "r"
    wire.post("/v2/systemsharedmemory/unregister", {})


def test_tensors_can_stay_in_shared_memory(wire, region, server):
    where = {"shared_memory_region": region, "shared_memory_byte_size": 32}
    outputs = [{"name": "image_out", "parameters": {**where, "shared_memory_offset": 64}}]
    reply = wire.infer({"inputs": [image(**where)], "outputs": outputs})
    (output,) = reply.json["outputs"]
    assert output["parameters"] == {**where, "shared_memory_offset": 64}
    assert "data" not in output
    with (server.regions._folder / "tensors").open("rb") as file:
        file.seek(64)
        np.testing.assert_array_equal(np.frombuffer(file.read(32), "<f4").reshape(2, 4), NUMBERS * 2)


def test_an_output_that_does_not_fit_its_place_is_told(wire, region):
    outputs = [{"name": "image_out", "parameters": {"shared_memory_region": region, "shared_memory_byte_size": 31}}]
    reply = wire.infer({"inputs": [image([0] * 8)], "outputs": outputs})
    assert reply.status == 400
    assert "'image_out'" in reply.error


def test_no_memory_is_taken_for_what_a_caller_merely_says(wire, region):
    given = {**image(shared_memory_region=region, shared_memory_byte_size=1 << 50), "shape": [1 << 46, 4]}
    reply = wire.infer({"inputs": [given]})
    assert reply.status == 400


@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_a_tensor_of_less_than_no_bytes_is_refused(wire, region, datatype):
    where = {"shared_memory_region": region, "shared_memory_byte_size": -32}
    reply = wire.infer({"inputs": [{**image(**where), "datatype": datatype}]})
    assert reply.status == 400
    assert "'image'" in reply.error


def test_regions_are_registered_listed_and_forgotten(wire, region):
    assert wire.get("/v2/systemsharedmemory/status").json == [
        {"name": "r", "key": "/tensors", "offset": 0, "byte_size": 128}
    ]
    assert wire.get("/v2/systemsharedmemory/region/r/status").json[0]["name"] == "r"
    assert wire.post("/v2/systemsharedmemory/region/r/unregister", {}).status == 200
    assert wire.get("/v2/systemsharedmemory/status").json == []


@pytest.mark.parametrize("content", [{}, {"key": "/../x", "byte_size": 1}, {"key": "/tensors", "byte_size": 1 << 40}])
def test_a_wrong_region_is_refused(wire, content):
    assert wire.post("/v2/systemsharedmemory/region/x/register", content).status == 400


def test_of_cuda_there_is_nothing(wire):
    assert wire.get("/v2/cudasharedmemory/status").json == []
    assert wire.post("/v2/cudasharedmemory/unregister", {}).status == 200
    assert wire.post("/v2/cudasharedmemory/region/x/register", {}).status == 400


def test_a_large_tensor_arrives_without_a_copy(server, engine):
    wire = server.wire()
    rows = 50_000
    given = {**image(binary_data_size=rows * 16), "shape": [rows, 4]}
    data = np.random.default_rng(0).normal(size=(rows, 4)).astype("<f4")
    reply = wire.infer({"inputs": [given], "parameters": {"binary_data_output": True}}, data.tobytes())
    np.testing.assert_array_equal(reply.tensor("image_out"), data * 2)
    assert not engine.calls[-1].inputs["image"].flags.owndata


def test_requests_of_one_client_do_not_share_memory(server, engine):
    wire = server.wire()
    for value in (1.0, 2.0):
        data = np.full((5000, 4), value, "<f4")
        wire.infer({"inputs": [{**image(binary_data_size=80_000), "shape": [5000, 4]}]}, data.tobytes())
    first, second = engine.calls[-2:]
    assert first.inputs["image"].max() == 1.0, "telemetry may still look at it"
    assert second.inputs["image"].min() == 2.0


def test_the_same_bytes_in_two_ways_of_sending_are_the_same_request(wire):
    raw = request("POST", "/v2/models/digits/infer", json.dumps({"inputs": [image([0] * 8)]}).encode())
    wire.send(raw)
    first = wire.reply()
    for byte in raw:
        wire.send(bytes([byte]))
    assert wire.reply() == first


@pytest.mark.parametrize(
    ("data", "elements"),
    [([1] * 200_000, 200_000), (["a"] * 100_000, 300_000), ([[1]] * 100_000, 300_000), ([{}] * 100_000, 300_000)],
)
def test_json_that_the_memory_here_is_too_small_for_is_refused_before_it_is_read(wire, monkeypatch, data, elements):
    # A number is 40 bytes on its way into a tensor.
    content = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [50_000, 4], "data": data}]}
    body = json.dumps(content, separators=(",", ":")).encode()
    monkeypatch.setattr(inference, "allotted_bytes", lambda: 2 * 40 * elements)
    reply = wire.ask("POST", "/v2/models/digits/infer", body)
    assert (reply.status, reply.json["code"]) == (413, "body-too-large")
    assert reply.error.endswith("Send tensors as binary.")


def test_json_that_the_device_has_no_memory_left_for_is_to_come_again(wire, monkeypatch):
    content = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [50_000, 4], "data": [1] * 200_000}]}
    body = json.dumps(content).encode()
    monkeypatch.setattr(budget, "left_bytes", lambda _: 36_000_000)
    reply = wire.ask("POST", "/v2/models/digits/infer", body)
    assert (reply.status, reply.fields["retry-after"]) == (503, "10")
    assert "36000000 bytes of memory are left here" in reply.error
    monkeypatch.undo()
    assert wire.ask("POST", "/v2/models/digits/infer", body).status == 200


def test_an_answer_that_is_too_much_for_json_is_refused_before_it_is_told(wire, monkeypatch):
    text = json.dumps({"inputs": [{**image(binary_data_size=800_000), "shape": [50_000, 4]}]})
    sent = request("POST", "/v2/models/digits/infer", text.encode() + bytes(800_000))
    sent = sent.replace(b"\r\n\r\n", b"\r\nInference-Header-Content-Length: %d\r\n\r\n" % len(text), 1)
    monkeypatch.setattr(budget, "left_bytes", lambda _: 36_000_000)
    wire.send(sent)
    reply = wire.reply()
    assert (reply.status, reply.fields["retry-after"]) == (503, "10")
    assert "too few for 200000 elements in JSON. Ask for binary data, or ask again later." in reply.error
    monkeypatch.setattr(inference, "allotted_bytes", lambda: 2 * 64 * 200_000 - 2)
    wire.send(sent)
    reply = wire.reply()
    assert (reply.status, reply.json["code"]) == (413, "body-too-large")
    assert reply.error.endswith("Ask for binary data.")
