"""A request is answered as if it was the first, however much it has in common with those before it.

The judge is the same request with blanks behind its JSON: it is too long to be remembered, and understood each time.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.serving.http import inference
from edge_agent.serving.http.body import Body
from edge_agent.serving.port import ServingError
from edge_agent.serving.regions import Regions
from fleet_contract.manifest import Tensor
from tests.fakes.engine import FakeEngine, takes
from tests.fakes.wire import served

LONG = b" " * 4096
REGIONS = Regions()
IMAGE, MASK = Tensor("image", "FP32", (-1, 2)), Tensor("mask", "INT8", (-1, 2))

IMAGE_SENT = {"name": "image", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": 16}}


def doubled(array):
    return array if array.dtype.kind in "bO" else array + array


#: What a model may make of a tensor: none of it is bound to what it made of the last.
ANSWERS = {
    "the same": doubled,
    "columns first": lambda array: np.asfortranarray(doubled(array)),
    "every other": lambda array: np.repeat(doubled(array), 2, axis=-1)[..., ::2],
    "halves": lambda array: array.astype(np.float16),
    "big-endian": lambda array: array.astype(">f4"),
    "truth": lambda array: array.astype(np.bool_),
    "words": lambda array: np.full(array.shape, b"word", object),
    "longer words": lambda array: np.full(array.shape, b"longer word", object),
    "one number": lambda array: np.array(array.sum()),
    "no rows": lambda array: array[:0],
    "one row": lambda array: array[:1],
}


def made(how, array):
    """What the model makes of `array`; of words and of a single number it can only make the same."""
    return ANSWERS[how](array) if array.ndim and array.dtype != object else doubled(array)


@dataclass(frozen=True)
class Sent:
    """A request on its way to `model`, and what that will do with it."""

    model: str
    version: str
    content: dict[str, Any]
    binary: bytes
    shift: int
    how: str

    def body(self, behind: bytes = b"") -> Body:
        # Where it lies in memory is chance.
        binary = memoryview(bytes(self.shift) + self.binary)[self.shift :]
        return Body(json.dumps(self.content).encode() + behind, binary)


def an_engine():
    return FakeEngine(takes("one", IMAGE), takes("two", IMAGE, MASK), takes("newer", IMAGE, version=2))


@st.composite
def tensors(draw):
    """What the models take, and its bytes; or, as often, something near it."""
    right = draw(st.booleans())
    name, datatype, shape = draw(st.sampled_from([("image", "FP32", [1, 2]), ("image", "FP32", [2, 2])]))
    if not right:
        name = draw(st.sampled_from(["image", "mask"]))
        datatype = draw(st.sampled_from(["FP32", "INT8", "UINT16", "FP64", "BOOL", "BYTES", "BF16", "X"]))
        shape = draw(st.sampled_from([[1, 2], [2, 1], [4], [0, 2], [], [-1, 2]]))
    count = int(np.prod([max(side, 0) for side in shape]))
    size = count * {"FP32": 4, "UINT16": 2, "FP64": 8, "BYTES": 5, "BF16": 2}.get(datatype, 1)
    tensor = {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    if not right:
        tensor |= draw(st.sampled_from([{}, {}, {"data": [7] * count}]))
        tensor["parameters"] |= draw(
            st.sampled_from(
                [
                    {},
                    {"binary_data_size": size + 1},
                    {"binary_data_size": size - 1},
                    {"binary_data_size": None},
                    {"shared_memory_region": "nowhere", "shared_memory_byte_size": size},
                ]
            )
        )
    data = b"\x01\0\0\0a" * count if datatype == "BYTES" else bytes(draw(st.integers(0, 99)) for _ in range(size))
    return tensor, data


@st.composite
def requests(draw):
    given = draw(st.lists(tensors(), min_size=0, max_size=2) if draw(st.booleans()) else st.tuples(tensors()))
    content = {"inputs": [tensor for tensor, _ in given]}
    content |= draw(st.sampled_from([{}, {"id": "a"}, {"id": "b"}, {"id": ""}]))
    content |= draw(st.sampled_from([{}] + [{"parameters": {"binary_data_output": True}}] * 3))
    wanted = draw(st.lists(st.sampled_from(["image_out", "image_out", "mask_out", "none"]), max_size=2))
    how = [{"binary_data": True}, {"binary_data": True}, {}, {"binary_data": False}, {"classification": 1}]
    if wanted and draw(st.booleans()):
        content["outputs"] = [{"name": name, "parameters": draw(st.sampled_from(how))} for name in wanted]
    return Sent(
        model=draw(st.sampled_from(["one", "one", "two", "newer"])),
        version=draw(st.sampled_from(["", "", "1", "2"])),
        content=content,
        binary=b"".join(data for _, data in given) + draw(st.sampled_from([b"", b"", b"", b"x"])),
        shift=draw(st.sampled_from([0, 0, 1, 4])),
        how=draw(st.sampled_from(sorted(ANSWERS))),
    )


def computing(sent):
    """What the model makes of `sent`."""

    def compute(given):
        assert all(array.flags.aligned for array in given.values()), "not every processor reads from any address"
        # Numbers made of any bytes may be too large for it.
        with np.errstate(all="ignore"):
            return {f"{name}_out": made(sent.how, array) for name, array in given.items()}

    return compute


def answer(engine, sent, body):
    """All that a client is told: status fields and bytes, or the error."""
    told = []
    engine.compute = computing(sent)
    try:
        asked = inference.understand(sent.model, sent.version, body, engine, REGIONS)
        engine.submit(asked.call, told.append)
        (answered,) = told
        if isinstance(answered, Exception):
            raise answered
        response = asked.response(answered)
    except ServingError as error:
        return type(error), str(error)
    return response.status, response.fields, [bytes(part) for part in response.parts]


@given(st.lists(requests(), min_size=1, max_size=3), st.lists(st.integers(0, 2), min_size=2, max_size=8))
@settings(max_examples=150)
def test_no_request_is_mistaken_for_one_before_it(forms, order):
    engine = an_engine()
    for which in order:
        sent = forms[which % len(forms)]
        assert answer(engine, sent, sent.body()) == answer(engine, sent, sent.body(LONG))


@given(
    st.sampled_from(["all", "by name"]),
    st.lists(st.tuples(st.sampled_from(sorted(ANSWERS)), st.integers(0, 2)), min_size=2, max_size=8),
)
@settings(max_examples=150)
def test_no_answer_is_told_in_the_form_of_another(way, answers):
    """The same request, while the version behind it changes, and what that makes of the request."""
    content = {"inputs": [IMAGE_SENT], "parameters": {"binary_data_output": True}}
    if way == "by name":
        content = {"inputs": [IMAGE_SENT], "outputs": [{"name": "image_out", "parameters": {"binary_data": True}}]}
    engines = [FakeEngine(takes("one", IMAGE, version=version)) for version in range(3)]
    for how, version in answers:
        engine = engines[version]
        sent = Sent("one", "", content, np.arange(4, dtype="<f4").tobytes(), 0, how)
        assert answer(engine, sent, sent.body()) == answer(engine, sent, sent.body(LONG))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(an_engine(), tmp_path_factory.mktemp("server")) as running:
        yield running


def told(wire, sent, behind: bytes = b""):
    """All that a client of the server is told."""
    header = json.dumps(sent.content).encode() + behind
    path = f"/v2/models/{sent.model}/versions/{sent.version}" if sent.version else f"/v2/models/{sent.model}"
    reply = wire.ask("POST", f"{path}/infer", header + sent.binary, f"Inference-Header-Content-Length: {len(header)}")
    return reply.status, reply.fields, reply.body


@given(st.lists(requests(), min_size=1, max_size=2), st.lists(st.integers(0, 5), min_size=4, max_size=10))
@settings(max_examples=100)
def test_on_one_connection_each_is_answered_as_on_a_connection_of_its_own(server, forms, order):
    engine = server.engine
    usual, judge = server.wire(), server.wire()
    for which in order:
        # One of them mostly: what is asked twice in a row is taken for what will be asked again.
        sent = forms[which % len(forms) if which > 3 else 0]
        engine.compute = computing(sent)
        assert told(usual, sent) == told(judge, sent, LONG)
    usual.close()
    judge.close()


def test_a_truth_is_1_however_often_it_is_sent():
    engine = FakeEngine(takes("one", Tensor("image", "BOOL", (-1, 2))))
    content = {"inputs": [{**IMAGE_SENT, "datatype": "BOOL", "parameters": {"binary_data_size": 4}}]}
    sent = Sent("one", "", content | {"parameters": {"binary_data_output": True}}, b"\0\1\7\377", 0, "the same")
    for _ in range(3):
        *_, (_, data) = answer(engine, sent, sent.body())
        assert data == b"\0\1\1\1"


@pytest.mark.parametrize("how", sorted(ANSWERS))
def test_the_bytes_of_each_answer_are_its_own(how):
    engine = an_engine()
    content = {"inputs": [IMAGE_SENT], "parameters": {"binary_data_output": True}}
    for value in (1.0, 2.0, 3.0):
        given = np.full((2, 2), value, "<f4")
        sent = Sent("one", "", content, given.tobytes(), 0, how)
        *_, (_, data) = answer(engine, sent, sent.body())
        answered = made(how, given)
        little = answered.astype(answered.dtype.newbyteorder("<"))
        words = {"words": b"\x04\0\0\0word" * 4, "longer words": b"\x0b\0\0\0longer word" * 4}
        assert data == words.get(how, little.tobytes())
