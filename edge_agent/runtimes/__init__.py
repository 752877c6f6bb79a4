"""The model runtimes. Each is imported when the first model asks for it: an image needs only one of them."""

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from edge_agent import accelerators
from edge_agent.config import Runtime
from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes.choice import ChosenSession, Ways
from edge_agent.runtimes.session import Session
from edge_agent.runtimes.verdicts import Verdicts
from fleet_contract.because import Because

# ONNX Runtime's wheels since 1.29 send what they run to their maker, and keep an id of the machine in its user's cache.
# A gateway talks to its owner's hub and to nobody else. It reads this when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_ROOT = Path("/")
#: How the names of all execution providers end, and of no delegate.
_PROVIDER = "ExecutionProvider"


class Runtimes:
    """Opens artifacts as `settings` say, with what the device below `root` has. Safe for any number of threads.

    `meanwhile` is called on the thread of `open` just before ONNX Runtime reads an artifact, which takes it some
    milliseconds in which other threads may run Python.
    """

    def __init__(
        self, settings: Runtime | None = None, root: Path = _ROOT, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        self._settings = settings or Runtime()
        self._root = root
        self._meanwhile = meanwhile
        self._lock = threading.Lock()
        self._missing: dict[str, Because] = {}
        self._chosen: weakref.WeakSet[ChosenSession] = weakref.WeakSet()

    def open(self, runtime: str, path: Path) -> Session:
        """A session of the artifact at `path` with `runtime` ("onnx" or "tflite").

        Raises `ArtifactRejected`: "model-unreadable" when it is not what the runtime reads, "runtime-missing" when
        this device does not have the runtime.
        """
        try:
            match runtime:
                case "onnx":
                    session = self._onnx(path)
                case "tflite":
                    session = self._tflite(path)
                case _:
                    raise ArtifactRejected(
                        f"This agent has no runtime {runtime!r}.",
                        "Build the version for runtime 'onnx' or 'tflite'.",
                        code="runtime-missing",
                    )
        except ImportError as error:
            raise ArtifactRejected(
                f"The runtime {runtime!r} cannot be imported on this device: {error}.",
                f"Install the extra `{'edge' if runtime == 'onnx' else 'litert'}` of vedette.",
                code="runtime-missing",
            ) from error
        if isinstance(session, ChosenSession):
            with self._lock:
                self._chosen.add(session)
        return session

    def troubles(self) -> tuple[Because, ...]:
        """Which accelerators are not used by the models that are loaded, and why."""
        with self._lock:
            loaded = list(self._chosen)
            missing = list(self._missing.values())
        return tuple(dict.fromkeys([*missing, *(one for session in loaded for one in session.troubles())]))

    def _onnx(self, path: Path) -> Session:
        import edge_agent.runtimes.onnx as onnx

        built = onnx.available()
        self._miss(built, [one for one in self._settings.providers if one.endswith(_PROVIDER)], onnx.VERSION)
        ways = self._ways(accelerators.providers(built, self._root), (onnx.CPU,), built)
        if not ways.accelerators:
            return onnx.OnnxSession(path, onnx.CPU, self._settings, self._meanwhile)
        return ChosenSession(
            lambda provider: onnx.OnnxSession(path, provider, self._settings, self._meanwhile),
            ways,
            Verdicts(path, onnx.VERSION),
        )

    def _tflite(self, path: Path) -> Session:
        import edge_agent.runtimes.litert as litert

        libraries = {**accelerators.delegates(self._root), **self._settings.delegates}
        known = (*libraries, litert.XNNPACK, litert.CPU)
        self._miss(known, [one for one in self._settings.providers if not one.endswith(_PROVIDER)], litert.VERSION)
        ways = self._ways(tuple(libraries), (litert.XNNPACK, litert.CPU), known)
        return ChosenSession(
            lambda delegate: litert.LitertSession(path, delegate, self._settings, libraries.get(delegate)),
            ways,
            Verdicts(path, litert.VERSION),
        )

    def _miss(self, known: tuple[str, ...], wanted: list[str], version: str) -> None:
        """Notes which of the `wanted` are not `known` to the runtime `version`."""
        with self._lock:
            for one in wanted:
                if one not in known:
                    self._missing[one] = Because(
                        "provider-missing", f"The config asks for {one}, and {version} has {', '.join(known)}."
                    )

    def _ways(self, seen: tuple[str, ...], trusted: tuple[str, ...], known: tuple[str, ...]) -> Ways:
        """`seen` are the accelerators of this device, `known` all that may be asked for."""
        wanted = self._settings.providers
        if not wanted:
            return Ways(seen, trusted)
        asked = tuple(one for one in wanted if one in known and one not in trusted)
        # Of the trusted ones too the owner's order holds; the last resort stays the last.
        named = [one for one in wanted if one in trusted]
        return Ways(asked, tuple(dict.fromkeys((*named, trusted[-1]))), at_any_speed=True)


def open_session(runtime: str, path: Path) -> Session:
    """What `Runtimes.open` gives with the settings of a gateway whose owner has set none."""
    return Runtimes().open(runtime, path)
