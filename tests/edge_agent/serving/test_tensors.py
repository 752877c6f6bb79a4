"""Tensors come and go unchanged, and what is wrong with one is told with its name."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst

from edge_agent.serving import tensors
from edge_agent.serving.port import InputWrong
from fleet_contract.manifest import Tensor

NUMBERS = [name for name in tensors.DTYPES if name != "BYTES"]
shapes = nst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
any_array = st.sampled_from(NUMBERS).flatmap(lambda name: nst.arrays(tensors.DTYPES[name], shapes))


@given(any_array)
def test_numbers_go_through_bytes(array):
    data = bytes(tensors.to_bytes(array))
    again = tensors.from_bytes("x", tensors.datatype_of(array), array.shape, data)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@given(any_array)
def test_numbers_go_through_json_flat_and_nested(array):
    if array.dtype.kind == "f":
        array = np.nan_to_num(array, posinf=1, neginf=-1, nan=np.nan)
    datatype = tensors.datatype_of(array)
    flat = msgspec.Raw(tensors.to_json("x", array))
    np.testing.assert_array_equal(tensors.from_json("x", datatype, array.shape, flat), array)
    if array.ndim and array.size:
        nested = msgspec.Raw(msgspec.json.encode(array.tolist()))
        np.testing.assert_array_equal(tensors.from_json("x", datatype, array.shape, nested), array)


@given(st.lists(st.binary(max_size=12), max_size=6))
def test_strings_go_through_bytes(strings):
    array = np.empty(len(strings), object)
    array[:] = strings
    data = tensors.to_bytes(array)
    assert tensors.from_bytes("x", "BYTES", (len(strings),), data).tolist() == strings


@given(st.lists(st.text(max_size=12), min_size=1, max_size=6))
def test_strings_go_through_json(strings):
    text = msgspec.Raw(msgspec.json.encode(strings))
    array = tensors.from_json("x", "BYTES", (1, len(strings)), text)
    assert array.tolist() == [[one.encode() for one in strings]]
    assert msgspec.json.decode(tensors.to_json("x", array)) == strings


@given(
    st.binary(max_size=60), st.lists(st.integers(-1, 5), max_size=3), st.sampled_from([*tensors.DTYPES, "BF16", "?"])
)
def test_no_bytes_do_more_than_be_refused_by_name(data, shape, datatype):
    try:
        array = tensors.from_bytes("pixels", datatype, shape, data)
    except InputWrong as error:
        assert "'pixels'" in str(error)
    else:
        assert array.shape == tuple(shape)


def test_a_view_is_made_where_memory_can_be_used_as_it_is():
    memory = np.arange(8, dtype="<f4")
    array = tensors.from_bytes("x", "FP32", (2, 4), memory.view("u1").data)
    assert np.shares_memory(array, memory)
    assert np.shares_memory(np.asarray(tensors.to_bytes(array)), memory)


def test_what_lies_across_is_copied_to_where_every_processor_can_read_it():
    memory = np.zeros(9, "u1").data
    array = tensors.from_bytes("x", "FP64", (1,), memory[1:])
    assert array.flags.aligned


def test_any_byte_but_zero_is_true():
    assert tensors.from_bytes("x", "BOOL", (3,), b"\x00\x01\xff").view("u1").tolist() == [0, 1, 1]


def test_transposed_and_foreign_byte_orders_are_sent_as_the_protocol_has_them():
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    assert bytes(tensors.to_bytes(array)) == array.astype("<i4").tobytes()


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("UINT8", [1], b"[256]"),
        ("UINT8", [1], b"[-1]"),
        ("INT32", [1], b"[1.5]"),
        ("INT64", [1], b"[9223372036854775808]"),
        ("INT32", [1], b"[true]"),
        ("INT32", [1], b"[null]"),
        ("BOOL", [1], b"[1]"),
        ("FP32", [1], b'["1"]'),
        ("BYTES", [1], b"[1]"),
        ("FP32", [2], b"[1]"),
        ("FP32", [2, 2], b"[[1,2],[3]]"),
        ("FP32", [2, 2], b"[[1],[2],[3],[4]]"),
        ("BYTES", [2, 1], b'[["a"],["b","c"]]'),
        ("FP32", [1], b"1"),
        ("FP32", [1], b"{}"),
        ("FP32", [1], b"[" * 5000 + b"]" * 5000),
        ("BF16", [1], b"[1]"),
        ("FP32", [-1], b"[1]"),
        ("FP32", [1] * 40, b"[1]"),
        ("FP32", [2**40, 2**40], b"[1]"),
        ("FP32", [0, 2**62], b"[]"),
    ],
)
def test_json_that_is_no_such_tensor_is_refused_by_name(datatype, shape, data):
    with pytest.raises(InputWrong, match="'pixels'"):
        tensors.from_json("pixels", datatype, shape, msgspec.Raw(data))


def test_whole_numbers_survive_to_the_last_digit():
    array = np.array([2**63 - 1, -(2**63)], "<i8")
    assert tensors.to_json("x", array) == b"[9223372036854775807,-9223372036854775808]"
    assert tensors.from_json("x", "UINT64", [1], msgspec.Raw(b"[18446744073709551615]")).tolist() == [2**64 - 1]


def test_what_json_cannot_say_is_refused():
    with pytest.raises(InputWrong, match="infinity"):
        tensors.to_json("x", np.array([np.inf], "<f4"))
    with pytest.raises(InputWrong, match="UTF-8"):
        tensors.to_json("x", np.array([b"\xff"], object))


def test_not_a_number_is_null():
    assert tensors.to_json("x", np.array([np.nan, 1], "<f4")) == b"[null,1.0]"


@pytest.mark.parametrize(
    ("tensor", "size", "shape"),
    [
        (Tensor("x", "FP32", (-1, 4)), 32, (2, 4)),
        (Tensor("x", "FP32", (1, 4)), 16, (1, 4)),
        (Tensor("x", "BYTES", (-1, 1)), 9, (1, 1)),
        (Tensor("x", "FP32", (-1, 4)), 0, (0, 4)),
    ],
)
def test_the_shape_of_bare_bytes_follows_from_their_number(tensor, size, shape):
    assert tensors.shape_of(tensor, size) == shape


@pytest.mark.parametrize(
    "tensor", [Tensor("x", "FP32", (-1, -1)), Tensor("x", "FP32", (-1, 4)), Tensor("x", "FP32", (-1, 0))]
)
def test_a_shape_that_does_not_follow_is_refused(tensor):
    with pytest.raises(InputWrong, match="'x'"):
        tensors.shape_of(tensor, 20)
