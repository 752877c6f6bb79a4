"""One module a promise: `python -m benchmarks.NAME` measures it beside its anchor and exits 1 where it falls short."""
