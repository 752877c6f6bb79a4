"""Answers applications on the gateway in the Open Inference Protocol v2."""
