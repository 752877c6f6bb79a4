"""Bytes by their digest: model artifacts, golden sets."""
