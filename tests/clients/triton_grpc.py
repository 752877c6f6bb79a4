"""Runs in an environment of its own: NVIDIA's gRPC client, unchanged, against the agent. Argument: host:port."""

import queue
import sys
from functools import partial

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, shared_memory

NUMBERS = {
    "BOOL": np.array([[True, False]]),
    **{f"UINT{bits}": np.array([[0, 2 ** (bits - 1) - 1]], f"u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.array([[-3, 2 ** (bits - 2) - 1]], f"i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.array([[0.5, -2.0]], f"f{bits // 8}") for bits in (16, 32, 64)},
}


def main(address: str) -> None:
    client = triton.InferenceServerClient(address)
    health(client)
    documents(client)
    tensors(client)
    wrong(client)
    shared(client)
    client.close()
    sys.stdout.write("ok\n")


def health(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("all", "1")
    assert not client.is_model_ready("none")


def documents(client: triton.InferenceServerClient) -> None:
    assert client.get_server_metadata().name == "vedette"
    metadata = client.get_model_metadata("all", "1", as_json=True)
    assert {one["name"] for one in metadata["inputs"]} == {*NUMBERS, "BYTES"}
    config = client.get_model_config("all", as_json=True)["config"]
    assert {one["data_type"] for one in config["input"]} == {f"TYPE_{one}" for one in NUMBERS} | {"TYPE_STRING"}
    assert config["version_policy"] == {"specific": {"versions": ["1"]}}
    assert client.get_inference_statistics("all").model_stats[0].name == "all"
    assert "all" in {one.name for one in client.get_model_repository_index().models}


def inputs() -> list[triton.InferInput]:
    made = []
    for name, array in {**NUMBERS, "BYTES": np.array([["a", "ü"]], object)}.items():
        made.append(triton.InferInput(name, list(array.shape), name))
        made[-1].set_data_from_numpy(array)
    return made


def tensors(client: triton.InferenceServerClient) -> None:
    answer = client.infer("all", inputs(), request_id="seven")
    assert answer.get_response().id == "seven"
    for name, array in NUMBERS.items():
        np.testing.assert_array_equal(answer.as_numpy(f"{name}_out"), array + array)
    assert answer.as_numpy("BYTES_out").tolist() == [[b"a", "ü".encode()]]
    told: queue.Queue[tuple[object, object]] = queue.Queue()
    wanted = [triton.InferRequestedOutput("FP32_out")]
    client.async_infer("all", inputs(), partial(lambda result, error: told.put((result, error))), outputs=wanted)
    result, error = told.get(timeout=10)
    assert error is None
    assert result.as_numpy("FP32_out").tolist() == [[1.0, -4.0]]
    assert result.as_numpy("FP64_out") is None
    (batches,) = client.get_inference_statistics("all", "1").model_stats[0].batch_stats
    assert batches.batch_size == 1
    assert batches.compute_infer.count > 1


def wrong(client: triton.InferenceServerClient) -> None:
    for status, name, given in (("NOT_FOUND", "none", inputs()), ("INVALID_ARGUMENT", "all", inputs()[1:])):
        try:
            client.infer(name, given)
        except InferenceServerException as error:
            assert status in error.status(), error
            if name == "all":
                assert "BOOL" in error.message()
        else:
            raise AssertionError(f"{status} was expected")


def shared(client: triton.InferenceServerClient) -> None:
    client.unregister_system_shared_memory()
    client.unregister_cuda_shared_memory()
    assert not client.get_cuda_shared_memory_status().regions
    numbers = np.arange(8, dtype=np.float32).reshape(2, 4)
    region = shared_memory.create_shared_memory_region("both", "/vedette_test_both", 256)
    try:
        shared_memory.set_shared_memory_region(region, [numbers])
        client.register_system_shared_memory("both", "/vedette_test_both", 256)
        assert client.get_system_shared_memory_status().regions["both"].byte_size == 256
        one = triton.InferInput("image", [2, 4], "FP32")
        one.set_shared_memory("both", numbers.nbytes)
        out = triton.InferRequestedOutput("image_out")
        out.set_shared_memory("both", numbers.nbytes, offset=64)
        answer = client.infer("images", [one], outputs=[out])
        assert list(answer.get_output("image_out").shape) == [2, 4]
        found = shared_memory.get_contents_as_numpy(region, np.float32, [2, 4], offset=64)
        np.testing.assert_array_equal(found, numbers + numbers)
        client.unregister_system_shared_memory("both")
        assert not client.get_system_shared_memory_status().regions
    finally:
        shared_memory.destroy_shared_memory_region(region)


if __name__ == "__main__":
    main(sys.argv[1])
