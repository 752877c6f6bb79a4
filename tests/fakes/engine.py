"""An engine of plain functions, for what lies in front of the real one."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_agent.serving.in_place import Laid
from edge_agent.serving.packed import Packed
from edge_agent.serving.port import (
    Answered,
    AnsweredInPlace,
    Call,
    Done,
    InputWrong,
    ModelUnknown,
    ModelUnready,
    Statistics,
    Ticket,
)
from edge_agent.serving.statistics import Counted
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest, Tensor
from tests.fakes.releases import a_manifest

Compute = Callable[[Mapping[str, Any]], dict[str, Any]]


def doubled(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}_out": value if value.dtype == object else value + value for name, value in inputs.items()}


def takes(model: str, *tensors: Tensor, version: int = 1) -> Manifest:
    """A manifest that takes `tensors` and gives each back under its name and `_out`."""
    outputs = tuple(Tensor(f"{one.name}_out", one.dtype, one.shape) for one in tensors)
    return a_manifest(model=model, version=version, inputs=tensors, outputs=outputs)


class FakeTicket:
    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()


class FakeStanding:
    """Answers as its engine does, unless that would do so later."""

    def __init__(self, engine: "FakeEngine", call: Call, packed: Packed) -> None:
        self._engine = engine
        self._call = call
        self._packed = packed
        self._manifest = engine.manifest(call.model)
        self._answered: AnsweredInPlace | None = None

    @property
    def over(self) -> bool:
        return self._engine.manifest(self._call.model) is not self._manifest

    def ready(self, patient: bool) -> bool:
        return not self._engine.later and not self._engine.holds

    def run(self, data: bytes | memoryview, patient: bool) -> Answered | VedetteError | None:
        engine, call = self._engine, self._call
        if not self.ready(patient) or engine.manifest(call.model) is not self._manifest:
            return None
        inputs = self._packed.views(data)
        assert inputs is not None
        engine.at_once += 1
        engine.patient.append(patient)
        return engine.answer(Call(call.model, inputs, call.outputs, call.version))

    def waits(self, patient: bool) -> bool:
        return self._engine.defers

    def wait(self, begin: Callable[[bool], None]) -> FakeTicket | None:
        engine = self._engine
        if len(engine.turns) >= engine.most_turns:
            return None
        engine.turns.append(begin)
        engine.tickets.append(FakeTicket())
        return engine.tickets[-1]

    def room_next(self, before: int) -> memoryview | None:
        room = self._engine.desk
        return None if room is None else room[64 - before % 16 :][: before + self._packed.size_bytes]

    def run_next(self, data: bytes | memoryview) -> Answered | VedetteError | None:
        engine, call = self._engine, self._call
        engine.on_turn()
        if engine.manifest(call.model) is not self._manifest:
            return None
        inputs = self._packed.views(data)
        assert inputs is not None
        engine.at_once += 1
        return engine.answer(Call(call.model, inputs, call.outputs, call.version))

    def run_in_place(self, laid: Laid, patient: bool) -> Answered | VedetteError | None:
        engine, call = self._engine, self._call
        if engine.looks or not self.ready(patient) or engine.manifest(call.model) is not self._manifest:
            return None
        engine.in_place += 1
        result = engine.answer(Call(call.model, laid.inputs, call.outputs, call.version))
        if not isinstance(result, Answered) or result.outputs.keys() != laid.rooms.keys():
            return result
        for name, array in result.outputs.items():
            laid.rooms[name][: array.nbytes] = array.tobytes()
        if self._answered is None:
            self._answered = AnsweredInPlace(result.manifest, result.outputs)
        return self._answered

    def sent(self) -> None:
        self._engine.sent += 1


class FakeEngine:
    """Answers at once, or on threads of its own when `later`; `fails` is told instead of an answer."""

    def __init__(self, *manifests: Manifest, compute: Compute = doubled, later: bool = False) -> None:
        self._manifests = {one.model: one for one in manifests}
        self.unready: set[str] = set()
        self.compute = compute
        self.later = later
        self.fails: VedetteError | None = None
        self.calls: list[Call] = []
        self.patient: list[bool] = []
        """Of each call, whether the thread that asked could be kept."""
        self.held: list[Callable[[], None]] = []
        self.holds = False
        self.tickets: list[FakeTicket] = []
        self.defers = False
        self.turns: list[Callable[[bool], None]] = []
        """What waits unread while it `defers`."""
        self.most_turns = 64
        self.desk: memoryview | None = None
        """Where what waits is read to."""
        self.on_turn: Callable[[], None] = lambda: None
        self.in_place = 0
        self.looks = False
        """Whether somebody looks at tensors once their answer is sent."""
        self.at_once = 0
        """How many runs of standing calls there were, and of how many the answers are on their way."""
        self.sent = 0

    def submit(self, call: Call, done: Done, patient: bool = False) -> Ticket | None:
        self.calls.append(call)
        self.patient.append(patient)

        def answer() -> None:
            done(self.answer(call))

        if self.holds:
            self.held.append(answer)
        elif self.later:
            threading.Thread(target=answer).start()
        else:
            answer()
            return None
        self.tickets.append(FakeTicket())
        return self.tickets[-1]

    def standing(self, call: Call, packed: Packed) -> FakeStanding | None:
        return FakeStanding(self, call, packed) if isinstance(self.answer(call), Answered) else None

    def answer(self, call: Call) -> Answered | VedetteError:
        try:
            if self.fails is not None:
                raise self.fails
            manifest = self.manifest(call.model, call.version)
            for tensor in manifest.inputs:
                if tensor.name not in call.inputs:
                    raise InputWrong(f"Input {tensor.name!r} is missing.")
            names = {one.name for one in manifest.inputs}
            for name in call.inputs:
                if name not in names:
                    raise InputWrong(f"There is no input {name!r}.")
            outputs = self.compute(call.inputs)
            for name in call.outputs:
                if name not in outputs:
                    raise InputWrong(f"There is no output {name!r}.")
            outputs = {name: outputs[name] for name in call.outputs or outputs}
        except VedetteError as error:
            return error
        return Answered(manifest, outputs)

    def models(self) -> tuple[str, ...]:
        return tuple(self._manifests)

    def awaited(self) -> tuple[str, ...]:
        return tuple(sorted(self.unready))

    def manifest(self, model: str, version: str = "") -> Manifest:
        manifest = self._manifests.get(model)
        if manifest is None or version not in {"", str(manifest.version)}:
            raise ModelUnknown(f"There is no model {model!r} here, or not version {version!r} of it.")
        if model in self.unready:
            raise ModelUnready(f"Model {model!r} is being loaded.")
        return manifest

    def ready(self, model: str, version: str = "") -> bool:
        manifest = self._manifests.get(model)
        return manifest is not None and model not in self.unready and version in {"", str(manifest.version)}

    def statistics(self, model: str) -> Mapping[int, Statistics]:
        manifest = self._manifests.get(model)
        if manifest is None:
            raise ModelUnknown(f"There is no model {model!r} here.")
        return {manifest.version: Counted(inference_count=len(self.calls))} if self.calls else {}


def image_model(model: str = "digits") -> FakeEngine:
    """One model that takes FP32 images of 4 and gives them back, doubled."""
    return FakeEngine(takes(model, Tensor("image", "FP32", (-1, 4))))


__all__ = ["FakeEngine", "FakeTicket", "doubled", "image_model", "np", "takes"]
