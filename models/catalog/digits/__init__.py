"""Handwritten digits: small enough to train in seconds, real enough to watch drift."""
