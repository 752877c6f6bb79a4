"""A client of the Open Inference Protocol over gRPC: PORT STUBS FOLDER NET:SHAPE..., raw tensors."""

import importlib
import sys

import grpc
import numpy as np
import pace

if __name__ == "__main__":
    port, stubs, *more = sys.argv[1:]
    messages, services = (importlib.import_module(name) for name in stubs.split(","))
    limits = [(f"grpc.max_{way}_message_length", 64 * 1024 * 1024) for way in ("send", "receive")]
    stub = services.GRPCInferenceServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}", options=limits))

    def asking(model, record):
        tensor = messages.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=record.shape)

        def message():
            return messages.ModelInferRequest(model_name=model, inputs=[tensor], raw_input_contents=[record.tobytes()])

        def ask():
            answer = stub.ModelInfer(message())
            if answer.raw_output_contents:
                scores = np.frombuffer(answer.raw_output_contents[0], np.float32)
            else:
                scores = np.array(answer.outputs[0].contents.fp32_contents, np.float32)
            return scores, 5 + answer.ByteSize()

        sent = message().SerializeToString()
        request = {
            "url": f"http://127.0.0.1:{port}/inference.GRPCInferenceService/ModelInfer",
            "http": 2,
            "headers": {"content-type": "application/grpc", "te": "trailers"},
        }
        # As it goes over HTTP: uncompressed, and how long it is.
        return request, b"\0" + len(sent).to_bytes(4, "big") + sent, ask

    pace.run(asking, more)
