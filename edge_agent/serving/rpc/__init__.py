"""The Open Inference Protocol over gRPC, for those who want it: the extra `grpc` brings what it needs."""
