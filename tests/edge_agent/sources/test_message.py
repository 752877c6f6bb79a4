"""What a message says becomes one record, or is named as what it is not."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import SourceWrong
from edge_agent.sources.message import MessageWrong, reading
from edge_agent.sources.settings import Mqtt
from fleet_contract.manifest import Manifest, Tensor
from tests.edge_agent.sources.pictures import grey
from tests.fakes.releases import a_manifest


def read(payload: bytes | object, *inputs: Tensor, kind: str = "json") -> dict[str, np.ndarray]:
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return dict(reading(Mqtt("digits", "a", kind), of(*inputs))(content))


def of(*inputs: Tensor) -> Manifest:
    return a_manifest(inputs=inputs or (Tensor("image", "FP32", (-1, 4)),))


@pytest.mark.parametrize(
    "document",
    [
        {"image": [1, 2, 3, 4]},
        {"image": [[1, 2, 3, 4]]},
        {"inputs": [{"name": "image", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]},
        {"id": "7", "inputs": [{"name": "image", "shape": [1, 4], "datatype": "FP32", "data": [[1, 2, 3, 4]]}]},
    ],
)
def test_json_may_be_the_protocols_or_plain(document):
    given_ = read(document)["image"]
    assert given_.dtype == np.float32
    assert np.array_equal(given_, [[1, 2, 3, 4]])


def test_several_inputs_fit_in_one_message():
    given_ = read(
        {"place": [7], "image": [[1.5, 2.5]], "more": "is ignored"},
        Tensor("image", "FP32", (-1, 1, 2)),
        Tensor("place", "INT64", (-1, 1)),
    )
    assert given_["image"].shape == (1, 1, 2)
    assert given_["place"].dtype == np.int64
    assert set(given_) == {"image", "place"}


def test_an_input_that_is_called_inputs_is_no_list_of_them():
    assert np.array_equal(read({"inputs": [1, 2]}, Tensor("inputs", "FP32", (-1, 2)))["inputs"], [[1, 2]])


def test_values_of_any_shape_may_come_in_one_list():
    assert read({"image": list(range(6))}, Tensor("image", "FP32", (1, 2, 3)))["image"].shape == (1, 2, 3)


def test_a_free_dimension_takes_what_comes():
    assert read({"text": [1, 2, 3]}, Tensor("text", "INT32", (-1, -1)))["text"].shape == (1, 3)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"", "not JSON"),
        (b"[1, 2, 3, 4]", "no object"),
        (b"[" * 100_000, "not JSON"),
        ({}, "has no image"),
        ({"image": [1, 2, 3]}, "has the shape (3,)"),
        ({"image": [[1, 2, 3, 4], [5, 6, 7, 8]]}, "has the shape (2, 4)"),
        ({"image": [[1, 2], [3]]}, "no array"),
        ({"image": "picture"}, "no array"),
        ({"image": None}, "has the shape ()"),
        ({"image": {"a": 1}}, "no array"),
        ({"inputs": [{"name": "image"}]}, "no name or no data"),
        ({"inputs": [{"name": "image", "data": [1, 2, 3, 4]}, 7]}, "no name or no data"),
    ],
)
def test_json_that_is_no_record_is_named(payload, words):
    with pytest.raises(MessageWrong) as caught:
        read(payload)
    assert words in str(caught.value)


def test_a_number_that_the_input_cannot_hold_is_named_and_never_wraps_around():
    with pytest.raises(MessageWrong, match="no array of uint8"):
        read({"image": [300]}, Tensor("image", "UINT8", (-1, 1)))
    with pytest.raises(MessageWrong, match="no array of float32"):
        read({"image": [10**300, 0, 0, 0]})


def test_raw_bytes_are_little_endian_and_exactly_one_record():
    tensor = Tensor("image", "INT16", (-1, 2))
    assert np.array_equal(read(b"\x01\x00\x00\x01", tensor, kind="raw")["image"], [[1, 256]])
    for wrong in (b"", b"\x01", b"\x01\x00\x00\x01\x02"):
        with pytest.raises(MessageWrong, match="and image takes 4"):
            read(wrong, tensor, kind="raw")


def test_a_picture_is_prepared_and_what_is_none_is_named():
    tensor = Tensor("image", "FP32", (-1, 8, 8))
    assert read(grey(5), tensor, kind="picture")["image"].max() == 5
    with pytest.raises(MessageWrong, match="cannot be read"):
        read(b"no picture", tensor, kind="picture")


def test_a_model_that_no_message_fits_is_told_at_once():
    with pytest.raises(SourceWrong, match="bytes alone do not say"):
        reading(Mqtt("digits", "a", "raw"), of(Tensor("text", "INT32", (-1, -1))))
    with pytest.raises(SourceWrong, match="BYTES"):
        reading(Mqtt("digits", "a"), of(Tensor("text", "BYTES", (-1, 1))))


@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=5),
                st.dictionaries(st.sampled_from(["inputs", "name", "data", "image", "x"]), inner, max_size=3),
            ),
        ).map(lambda document: json.dumps(document).encode()),
    )
)
def test_whatever_a_message_holds_it_is_one_record_or_named(payload):
    try:
        record = read(payload)
    except MessageWrong as error:
        assert error.what
    else:
        assert record["image"].shape == (1, 4)
        assert record["image"].dtype == np.float32
