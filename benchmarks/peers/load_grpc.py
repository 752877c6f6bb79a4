"""A client of the Open Inference Protocol over gRPC: PORT STUBS NET:SHAPE..., raw tensors."""

import importlib
import sys

import grpc
import numpy as np
import pace

if __name__ == "__main__":
    port, stubs, *nets = sys.argv[1:]
    messages, services = (importlib.import_module(name) for name in stubs.split(","))
    limits = [(f"grpc.max_{way}_message_length", 64 * 1024 * 1024) for way in ("send", "receive")]
    stub = services.GRPCInferenceServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}", options=limits))

    def asking(model, record):
        tensor = messages.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=record.shape)

        def ask():
            raw = [record.tobytes()]
            request = messages.ModelInferRequest(model_name=model, inputs=[tensor], raw_input_contents=raw)
            answer = stub.ModelInfer(request)
            if answer.raw_output_contents:
                scores = np.frombuffer(answer.raw_output_contents[0], np.float32)
            else:
                scores = np.array(answer.outputs[0].contents.fp32_contents, np.float32)
            assert scores.size == 10

        return ask

    pace.run(asking, nets)
