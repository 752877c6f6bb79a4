"""Sessions of our own that do what a test says, and an engine with models of them."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from edge_agent.live import LiveModel, Loaded
from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving.engine import ServingEngine
from edge_agent.serving.port import Answered, Call
from edge_agent.telemetry.tally import Tally
from edge_agent.telemetry.window import Recorder
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest, Tensor
from fleet_contract.telemetry import Window
from tests.fakes.releases import a_manifest


class FakeSession:
    """Answers each row with the one-hot of `label`, or of the row's own first value when `label` is None.

    `instead` runs first, and may wait or raise. A closed one fails loudly.
    """

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    def __init__(self, label: int | None = None, instead: Callable[[], None] = lambda: None) -> None:
        self.label = label
        self.instead = instead
        self.closed = 0
        self.bears = True
        """Whether somebody may write to its inputs while it runs."""
        self.batches: list[int] = []
        self.threads: list[str] = []

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert not self.closed, "a closed session was asked"
        image = inputs["image"]
        self.batches.append(len(image))
        self.threads.append(threading.current_thread().name)
        self.instead()
        labels = image[:, 0].astype(int) if self.label is None else np.full(len(image), self.label)
        return {"scores": np.eye(3, dtype=np.float32)[labels % 3]}

    def bears_change(self) -> bool:
        return self.bears

    def close(self) -> None:
        self.closed += 1


class FakeBound:
    """A run of `session` that reads and writes always the same arrays."""

    def __init__(self, session: "BindingSession", inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]):
        self._session, self._inputs, self._outputs = session, inputs, outputs

    def run(self) -> None:
        self._session.bound_runs += 1
        for name, array in self._session.run(self._inputs).items():
            if array.shape != self._outputs[name].shape:
                raise InferenceFailed("The outputs have another shape.")
            self._outputs[name][...] = array + self._session.off


class BindingSession(FakeSession):
    """One that can be bound. What it then says is `off`."""

    def __init__(self, label: int | None = None, off: float = 0.0) -> None:
        super().__init__(label)
        self.off = off
        self.bound_runs = 0

    def bind(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> FakeBound:
        return FakeBound(self, inputs, outputs)


class Gate:
    """Holds whoever passes until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.inside = 0

    def __call__(self) -> None:
        self.inside += 1
        assert self._open.wait(60), "the gate was never opened"

    def open(self) -> None:
        self._open.set()


def raising(error: Exception) -> Callable[[], None]:
    """Fails with `error` where it is called."""

    def instead() -> None:
        raise error

    return instead


def an_image(label: int = 1, rows: int = 1) -> dict[str, np.ndarray]:
    return {"image": np.full((rows, 4), label, np.float32)}


@dataclass
class Answers:
    """What an engine said, in the order in which it did."""

    given: list[Answered | VedetteError] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)

    def __call__(self, result: Answered | VedetteError) -> None:
        self.threads.append(threading.current_thread().name)
        self.given.append(result)

    def wait(self, count: int = 1) -> list[Answered | VedetteError]:
        deadline = time.monotonic() + 60
        while len(self.given) < count:
            assert time.monotonic() < deadline, f"{len(self.given)} of {count} answers came"
            time.sleep(0.002)
        return self.given

    @property
    def labels(self) -> list[int]:
        return [int(one.outputs["scores"].argmax()) for one in self.given if isinstance(one, Answered)]


class Served:
    """An engine with models of our own, and what it counts."""

    def __init__(self, *models: str, **options: object) -> None:
        self.slots = {model: LiveModel() for model in models or ("digits",)}
        self.known = dict.fromkeys(self.slots)
        self.recorder = Recorder(60_000)
        self.tally = Tally(self.recorder)
        options.setdefault("spare", lambda: True)
        self.engine = ServingEngine(self.slot, lambda: list(self.known), self.tally, **options)  # type: ignore[arg-type]

    def slot(self, key: str) -> LiveModel:
        return self.slots.setdefault(key, LiveModel())

    def runs(self, session: FakeSession, manifest: Manifest | None = None, key: str = "digits", **more: object) -> None:
        manifest = manifest or a_manifest(model=key.partition("@")[0])
        self.known[key] = None
        self.slot(key).switch(Loaded(manifest, session, **more))  # type: ignore[arg-type]

    def ask(
        self,
        label: int = 1,
        *,
        model: str = "digits",
        rows: int = 1,
        version: str = "",
        truth: tuple[str, ...] = (),
        patient: bool = False,
    ) -> Answers:
        answers = Answers()
        self.engine.submit(Call(model, an_image(label, rows), version=version, truth=truth), answers, patient)
        return answers

    def windows(self) -> list[Window]:
        self.tally.flush()
        return self.recorder.collect(0, everything=True)


@contextmanager
def serving(*models: str, **options: object) -> Iterator[Served]:
    served = Served(*models, **options)
    try:
        yield served
    finally:
        served.engine.close()
        served.tally.close()
