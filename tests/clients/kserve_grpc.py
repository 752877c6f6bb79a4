"""Runs in an environment of its own: KServe's gRPC client, unchanged, against the agent. Argument: host:port."""

import asyncio
import sys

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


async def main(address: str) -> None:
    client = InferenceGRPCClient(address)
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("images")

    numbers = np.array([[1.0, np.nan, -3.5, 4.0]], np.float32)
    for binary in (True, False):
        given = InferInput("image", [1, 4], "FP32")
        given.set_data_from_numpy(numbers, binary_data=binary)
        answer = await client.infer(InferRequest("images", [given], request_id="seven"))
        assert answer.id == "seven"
        np.testing.assert_array_equal(answer.outputs[0].as_numpy(), numbers + numbers)
    try:
        await client.infer(InferRequest("images", []))
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "image" in error.details()
    else:
        raise AssertionError("INVALID_ARGUMENT was expected")
    await client.close()
    sys.stdout.write("ok\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
