"""Runs in an environment of its own: KServe's REST client, unchanged, against the agent. Argument: host:port."""

import asyncio
import sys

import numpy as np
from httpx import HTTPStatusError
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def main(address: str) -> None:
    url = f"http://{address}"
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, "images")
    assert not await client.is_model_ready(url, "none")

    numbers = np.array([[1.0, np.nan, -3.5, 4.0]], np.float32)
    for binary_in in (True, False):
        for binary_out in (True, False):
            given = InferInput("image", [1, 4], "FP32")
            given.set_data_from_numpy(numbers, binary_data=binary_in)
            wanted = RequestedOutput("image_out", {"binary_data": binary_out})
            request = InferRequest("images", [given], request_id="seven", request_outputs=[wanted])
            answer = await client.infer(url, request, model_name="images")
            assert answer.id == "seven"
            np.testing.assert_array_equal(answer.outputs[0].as_numpy(), numbers + numbers)

    text = InferInput("text", [1, 2], "BYTES")
    text.set_data_from_numpy(np.array([["a", "ü"]], object), binary_data=True)
    answer = await client.infer(url, InferRequest("texts", [text]), model_name="texts")
    assert answer.outputs[0].as_numpy().tolist() in ([["a", "ü"]], [[b"a", "ü".encode()]])

    try:
        await client.infer(url, {"inputs": []}, model_name="images")
    except HTTPStatusError as error:
        assert error.response.status_code == 400
        assert "image" in str(error)
    else:
        raise AssertionError("400 was expected")
    await client.close()
    sys.stdout.write("ok\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
