"""Tells FastAPI where each endpoint stands in our code, so that it need not look.

It wants that for the sentences of its own errors, and looks when an endpoint is first asked: it reads and parses the
endpoint's file on the event loop, and while the disk stalls nobody is answered.
"""

from inspect import unwrap

from fastapi import FastAPI, routing


def tell(app: FastAPI) -> None:
    """Call it when all routes are there."""
    for route in routing.iter_route_contexts(app.routes):
        if (endpoint := getattr(route, "endpoint", None)) is not None:
            code = unwrap(endpoint).__code__
            routing._endpoint_context_cache[id(endpoint)] = {
                "file": code.co_filename,
                "line": code.co_firstlineno,
                "function": endpoint.__name__,
            }
