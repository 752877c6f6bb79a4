"""NumPy as a gateway needs it. To be called before anything imports it."""

import os
import sys
from types import ModuleType

#: They write the documentation of what NumPy has in C, for who asks at a prompt: 5 ms of each start, and 0.5 MB.
_DOCUMENTATION = ("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars")


def prepare() -> None:
    """One thread for its BLAS, which takes memory for each that it may use, and nothing here needs two; and no
    documentation. A NumPy that has it elsewhere is imported as it is."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name in _DOCUMENTATION:
        sys.modules.setdefault(name, ModuleType(name))
