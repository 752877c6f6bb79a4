"""Whether a call fits a model: every tensor is there, and has the dtype and shape that the manifest names."""

import sys
from collections.abc import Iterable, Mapping

from edge_agent.runtimes.session import Array
from edge_agent.serving.port import InputWrong, ModelUnknown
from fleet_contract.manifest import Manifest

_ENDIAN = "<" if sys.byteorder == "little" else ">"
#: NumPy's short names, which an array gives without NumPy being imported here.
_NUMPY = {
    "BOOL": "|b1",
    "UINT8": "|u1",
    "INT8": "|i1",
    **{
        f"{kind}{bits}": f"{_ENDIAN}{code}{bits // 8}"
        for kind, code in (("UINT", "u"), ("INT", "i"))
        for bits in (16, 32, 64)
    },
    **{f"FP{bits}": f"{_ENDIAN}f{bits // 8}" for bits in (16, 32, 64)},
    "BYTES": "|O",
}
_WORDS = {short: word for word, short in _NUMPY.items()}


class Signature:
    """What one manifest asks of a call, made ready to be checked within microseconds."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.version = str(manifest.version)
        self._inputs = tuple(
            (one.name, one.dtype, _NUMPY.get(one.dtype, ""), one.shape, len(one.shape)) for one in manifest.inputs
        )
        self.outputs = tuple(one.name for one in manifest.outputs)
        self._scores = manifest.probabilities or manifest.outputs[0].name
        self.batched = all(one.shape[:1] == (-1,) for one in (*manifest.inputs, *manifest.outputs))
        """Whether the first dimension of all tensors is free: the calls of several callers can go together."""

    def check_version(self, version: str) -> None:
        """Raises `ModelUnknown` unless `version` is this one, or "" for any."""
        if version and version != self.version:
            raise ModelUnknown(
                f"Model {self.manifest.model!r} has no version {version!r} here; {self.version} is live.",
                "Leave the version out to be answered by the one that is live.",
            )

    def check(self, inputs: Mapping[str, Array], outputs: Iterable[str]) -> None:
        """Raises `InputWrong`, which names the tensor."""
        for name, dtype, short, shape, rank in self._inputs:
            array = inputs.get(name)
            if array is None:
                raise self._missing(name)
            found = array.shape
            if (array.dtype.str != short and not _is_text(dtype, array)) or len(found) != rank:
                raise self._wrong(name, dtype, shape, array)
            if found != shape:
                for have, want in zip(found, shape, strict=True):
                    if have != want and want != -1:
                        raise self._wrong(name, dtype, shape, array)
        if len(inputs) != len(self._inputs):
            known = [one[0] for one in self._inputs]
            unknown = next(name for name in inputs if name not in known)
            raise InputWrong(
                f"Model {self.manifest.model!r} has no input {unknown!r}; it takes {', '.join(known)}.",
                "The model's metadata names all that it takes.",
            )
        if self.batched and not self.rows(inputs):
            name = self._inputs[0][0]
            raise InputWrong(f"Input {name!r} of model {self.manifest.model!r} has no rows.", "Send one or more.")
        for name in outputs:
            if name not in self.outputs:
                raise InputWrong(
                    f"Model {self.manifest.model!r} has no output {name!r}; it gives "
                    f"{', '.join(one.name for one in self.manifest.outputs)}.",
                    "The model's metadata names all that it gives.",
                )

    def rows(self, inputs: Mapping[str, Array]) -> int:
        """How many records `inputs` are, which have been checked: the size of the first dimension, where it is the
        batch; else 1."""
        shape = inputs[self._inputs[0][0]].shape
        return shape[0] if shape and self.batched else 1

    def scores(self, outputs: Mapping[str, Array]) -> Array | None:
        """The output that says what a record is."""
        return outputs.get(self._scores)

    def _missing(self, name: str) -> InputWrong:
        return InputWrong(
            f"Input {name!r} of model {self.manifest.model!r} is missing.",
            "The model's metadata names all that it takes.",
        )

    def _wrong(self, name: str, dtype: str, shape: tuple[int, ...], array: Array) -> InputWrong:
        found = _WORDS.get(array.dtype.str, str(array.dtype))
        return InputWrong(
            f"Input {name!r} of model {self.manifest.model!r} is {found}{_shown(array.shape)}, and the model takes "
            f"{dtype}{_shown(shape)}.",
            "Send it as the model's metadata says; -1 is any size.",
        )


def _is_text(dtype: str, array: Array) -> bool:
    return dtype == "BYTES" and array.dtype.kind in "OSU"


def _shown(shape: Iterable[int]) -> str:
    return f"[{','.join(str(size) for size in shape)}]"
