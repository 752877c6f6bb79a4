"""Runs in an environment of its own: NVIDIA's HTTP client, unchanged, against the agent. Argument: host:port."""

import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, serialize_byte_tensor, shared_memory

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
    for compression in (None, "gzip", "deflate"):
        tensors(client, compression)
    for many in (1, 4):
        at_once(address, many)
    strings(client)
    wrong(client)
    shared(client)
    sys.stdout.write("ok\n")


def health(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("all")
    assert client.is_model_ready("all", "1")
    assert not client.is_model_ready("none")
    assert not client.is_model_ready("all", "9")


def documents(client: triton.InferenceServerClient) -> None:
    assert client.get_server_metadata()["name"] == "vedette"
    metadata = client.get_model_metadata("all", "1")
    assert {one["name"] for one in metadata["inputs"]} == {*NUMBERS, "BYTES"}
    config = client.get_model_config("all")
    assert {one["data_type"] for one in config["input"]} == {f"TYPE_{one}" for one in NUMBERS} | {"TYPE_STRING"}
    before = client.get_inference_statistics("all")["model_stats"][0]["inference_count"]
    assert client.get_inference_statistics()["model_stats"][0]["inference_count"] == before
    assert {"name": "all", "version": "1", "state": "READY", "reason": ""} in client.get_model_repository_index()


def inputs(binary: bool) -> list[triton.InferInput]:
    made = []
    for name, array in NUMBERS.items():
        made.append(triton.InferInput(name, list(array.shape), name))
        # The client itself sends no FP16 as JSON.
        made[-1].set_data_from_numpy(array, binary_data=binary or name == "FP16")
    text = np.array([["a", "ü"]], object)
    made.append(triton.InferInput("BYTES", [1, 2], "BYTES"))
    made[-1].set_data_from_numpy(text, binary_data=binary)
    return made


def tensors(client: triton.InferenceServerClient, compression: str | None) -> None:
    for binary_in in (True, False):
        for binary_out in (True, False):
            wanted = [triton.InferRequestedOutput(f"{name}_out", binary_data=binary_out) for name in NUMBERS]
            answer = client.infer(
                "all",
                inputs(binary_in),
                outputs=wanted,
                request_id="seven",
                request_compression_algorithm=compression,
                response_compression_algorithm=compression,
            )
            assert answer.get_response()["id"] == "seven"
            for name, array in NUMBERS.items():
                np.testing.assert_array_equal(answer.as_numpy(f"{name}_out"), array + array)
    # No outputs named: the client asks for all of them in binary.
    assert client.infer("all", inputs(True), model_version="1").as_numpy("FP32_out").tolist() == [[1.0, -4.0]]
    (batches,) = client.get_inference_statistics("all", "1")["model_stats"][0]["batch_stats"]
    assert batches["batch_size"] == 1
    assert batches["compute_infer"]["count"] > 1


def at_once(address: str, many: int) -> None:
    client = triton.InferenceServerClient(address, concurrency=many)
    waiting = [client.async_infer("all", inputs(True)) for _ in range(20)]
    for one in waiting:
        assert one.get_result().as_numpy("INT32_out").shape == (1, 2)
    client.close()


def strings(client: triton.InferenceServerClient) -> None:
    for binary in (True, False):
        wanted = [triton.InferRequestedOutput("BYTES_out", binary_data=binary)]
        answer = client.infer("all", inputs(binary), outputs=wanted).as_numpy("BYTES_out")
        found = [one if isinstance(one, str) else one.decode() for one in answer.flat]
        assert found == ["a", "ü"], found


def wrong(client: triton.InferenceServerClient) -> None:
    for status, name, given in (
        ("404", "none", inputs(True)),
        ("400", "all", inputs(True)[1:]),
    ):
        try:
            client.infer(name, given)
        except InferenceServerException as error:
            assert error.status() == status, error
            if status == "400":
                assert "BOOL" in error.message()
        else:
            raise AssertionError(f"{status} was expected")


def shared(client: triton.InferenceServerClient) -> None:
    client.unregister_system_shared_memory()
    client.unregister_cuda_shared_memory()
    assert client.get_cuda_shared_memory_status() == []
    numbers = np.arange(8, dtype=np.float32).reshape(2, 4)
    text = serialize_byte_tensor(np.array([["one", "two"]], object))
    texts = text.item()
    given = shared_memory.create_shared_memory_region("given", "/vedette_test_given", 256)
    taken = shared_memory.create_shared_memory_region("taken", "/vedette_test_taken", 256)
    try:
        shared_memory.set_shared_memory_region(given, [numbers])
        client.register_system_shared_memory("given", "/vedette_test_given", 256)
        client.register_system_shared_memory("taken", "/vedette_test_taken", 256)
        assert {one["name"] for one in client.get_system_shared_memory_status()} == {"given", "taken"}
        assert client.get_system_shared_memory_status("given")[0]["byte_size"] == 256
        one = triton.InferInput("image", [2, 4], "FP32")
        one.set_shared_memory("given", numbers.nbytes)
        out = triton.InferRequestedOutput("image_out")
        out.set_shared_memory("taken", numbers.nbytes, offset=64)
        answer = client.infer("images", [one], outputs=[out])
        output = answer.get_output("image_out")
        assert output["shape"] == [2, 4]
        found = shared_memory.get_contents_as_numpy(taken, np.float32, [2, 4], offset=64)
        np.testing.assert_array_equal(found, numbers + numbers)

        shared_memory.set_shared_memory_region(given, [np.frombuffer(texts, np.uint8)])
        one = triton.InferInput("text", [1, 2], "BYTES")
        one.set_shared_memory("given", len(texts))
        answer = client.infer("texts", [one], outputs=[triton.InferRequestedOutput("text_out")])
        assert answer.as_numpy("text_out").tolist() == [[b"one", b"two"]]
        client.unregister_system_shared_memory("given")
        client.unregister_system_shared_memory("taken")
        assert client.get_system_shared_memory_status() == []
    finally:
        shared_memory.destroy_shared_memory_region(given)
        shared_memory.destroy_shared_memory_region(taken)


if __name__ == "__main__":
    main(sys.argv[1])
