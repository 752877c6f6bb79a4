"""The Open Inference Protocol over HTTP/1.1: own loop, own parser, no copies of tensors on the way."""
