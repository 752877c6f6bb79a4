"""Whether a call fits a model: every tensor is there, and has the dtype and shape that the manifest names."""

import sys
from collections.abc import Iterable, Mapping

from edge_agent.runtimes.session import Array
from edge_agent.serving.port import InputWrong, ModelUnknown
from fleet_contract.manifest import Manifest, Tensor

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


class _Wanted:
    """What one input should be, and what was found right for it last."""

    __slots__ = ("dtype", "name", "right_dtype", "right_shape", "shape", "short")

    def __init__(self, tensor: Tensor) -> None:
        self.name = tensor.name
        self.dtype = tensor.dtype
        self.shape = tensor.shape
        self.short = _NUMPY.get(tensor.dtype, "")
        self.right_dtype: object = None
        self.right_shape: tuple[int, ...] = ()


class Signature:
    """What one manifest asks of a call, made ready to be checked within microseconds."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.version = str(manifest.version)
        self._inputs = tuple(_Wanted(one) for one in manifest.inputs)
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
        for wanted in self._inputs:
            array = inputs.get(wanted.name)
            if array is None:
                raise self._missing(wanted.name)
            # Callers send the same again and again: what was right once is right.
            if array.dtype is not wanted.right_dtype or array.shape != wanted.right_shape:
                self._check(wanted, array)
                wanted.right_dtype, wanted.right_shape = array.dtype, array.shape
        if len(inputs) != len(self._inputs):
            known = [one.name for one in self._inputs]
            unknown = next(name for name in inputs if name not in known)
            raise InputWrong(
                f"Model {self.manifest.model!r} has no input {unknown!r}; it takes {', '.join(known)}.",
                "The model's metadata names all that it takes.",
            )
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
        shape = inputs[self._inputs[0].name].shape
        return shape[0] if shape and self.batched else 1

    def given(self, outputs: Mapping[str, Array], names: Iterable[str]) -> dict[str, Array]:
        """Those of `outputs` that were asked for: `names`, or without any the manifest's."""
        return {name: outputs[name] for name in names or self.outputs if name in outputs}

    def scores(self, outputs: Mapping[str, Array]) -> Array | None:
        """The output that says what a record is."""
        return outputs.get(self._scores)

    def _check(self, wanted: "_Wanted", array: Array) -> None:
        shape = array.shape
        if array.dtype.str != wanted.short and not (wanted.dtype == "BYTES" and array.dtype.kind in "OSU"):
            raise self._wrong(wanted, array)
        if len(shape) != len(wanted.shape):
            raise self._wrong(wanted, array)
        if any(have != want and want != -1 for have, want in zip(shape, wanted.shape, strict=True)):
            raise self._wrong(wanted, array)
        if self.batched and not shape[0]:
            raise InputWrong(
                f"Input {wanted.name!r} of model {self.manifest.model!r} has no rows.", "Send one or more."
            )

    def _missing(self, name: str) -> InputWrong:
        return InputWrong(
            f"Input {name!r} of model {self.manifest.model!r} is missing.",
            "The model's metadata names all that it takes.",
        )

    def _wrong(self, wanted: "_Wanted", array: Array) -> InputWrong:
        found = _WORDS.get(array.dtype.str, str(array.dtype))
        return InputWrong(
            f"Input {wanted.name!r} of model {self.manifest.model!r} is {found}{_shown(array.shape)}, and the model "
            f"takes {wanted.dtype}{_shown(wanted.shape)}.",
            "Send it as the model's metadata says; -1 is any size.",
        )


def _shown(shape: Iterable[int]) -> str:
    return f"[{','.join(str(size) for size in shape)}]"
