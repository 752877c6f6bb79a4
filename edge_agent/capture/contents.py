"""What a capture's file holds: the inputs of one record, and what is known of it.

It is an .npz, so `numpy.load` reads it: `inputs/NAME` as in a golden set, with one row each, and `about.json`.
"""

import io
import zipfile
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.lib import format as npy

from edge_agent.capture.about import MEMBER, About
from edge_agent.errors import AgentError
from edge_agent.runtimes.session import Array
from edge_agent.runtimes.strings import as_bytes

#: A record that takes more in memory is not captured: the models need it, too.
MAX_UNPACKED_BYTES = 64 * 1024 * 1024
#: The quickest: pictures come out at half their size and less, and more of them fit under the quota.
_LEVEL = 1


class RecordTooLarge(AgentError):
    """This record cannot be captured, and none like it."""

    code = "record-too-large"


def encode(about: About, inputs: Mapping[str, Array]) -> bytes:
    """The file, the same for the same record whenever it is made. Strings become NumPy's own, of one length, which lack
    NULs at their end. Raises `RecordTooLarge`, and `InferenceFailed` for strings that are none."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in inputs.items():
            _add(archive, f"inputs/{name}.npy", _packed(name, array))
        # Last, where who lists captures finds it beside the directory.
        _add(archive, MEMBER, msgspec.json.encode(about))
    return file.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # Without a time: what is in the file says when.
    archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, _LEVEL)


def _packed(name: str, array: Array) -> bytes:
    width = array.itemsize
    if array.dtype.kind == "O":
        array = as_bytes(array)
        # One long string among many short ones makes all of them long.
        width = max((len(one) for one in array.reshape(-1).tolist()), default=0) or 1
    if width * array.size > MAX_UNPACKED_BYTES:
        raise RecordTooLarge(
            f"Input {name!r} takes {width * array.size} bytes, and a record that is captured {MAX_UNPACKED_BYTES} at "
            "most."
        )
    file = io.BytesIO()
    npy.write_array(file, array.astype(f"S{width}") if array.dtype.kind == "O" else array, allow_pickle=False)
    return file.getvalue()


def arrays(data: bytes) -> dict[str, Array]:
    """The inputs in a capture's file by their names. Raises ValueError, OSError or `zipfile.BadZipFile`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        names = [name for name in archive.files if name.startswith("inputs/")]
        return {name.removeprefix("inputs/"): archive[name] for name in names}
