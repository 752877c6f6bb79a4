"""One artifact that this device can compute in several ways: the best that was proved here answers."""

import logging
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes.session import Array, BearsChange, Binds, Bound, Session
from edge_agent.runtimes.verdicts import Verdicts
from fleet_contract.because import Because
from fleet_contract.manifest import Tensor

_log = logging.getLogger(__name__)

OpenWith: TypeAlias = Callable[[str], Session]


class Ways(msgspec.Struct, frozen=True):
    """By name and best first: `accelerators` answer once they were proved with this artifact on this device,
    `trusted` ones until then. With `at_any_speed` an accelerator is taken also when it is slower."""

    accelerators: tuple[str, ...]
    trusted: tuple[str, ...]
    at_any_speed: bool = False


class ChosenSession:
    """A `Session` that can change what computes it, until it goes live. See `edge_agent.parity` for who proves.

    Raises `ArtifactRejected` when the last of the trusted ways cannot open the artifact.
    """

    def __init__(self, open_with: OpenWith, ways: Ways, verdicts: Verdicts) -> None:
        self.ways = ways
        self._open_with = open_with
        self._verdicts = verdicts
        self._unusable: dict[str, Because] = {}
        proved = [one for one in ways.accelerators if verdicts.agrees(one)]
        fit = [one for one in ways.trusted if verdicts.refused(one) is None]
        self._left = [*proved, *(fit or ways.trusted[-1:])]
        self.provider, self._session = self._next()

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self._session.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return self._session.outputs

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._session.run(inputs)

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Bound | None:
        return self._session.bind(inputs, outputs) if isinstance(self._session, Binds) else None

    def bears_change(self) -> bool:
        return isinstance(self._session, BearsChange) and self._session.bears_change()

    def close(self) -> None:
        self._session.close()

    def fall_back(self, because: Because) -> bool:
        """Refuses what computes now, for good, and goes on with the next. False when there is no other: nothing has
        changed."""
        if not self._left:
            return False
        self.refuse(self.provider, because)
        self._session.close()
        self.provider, self._session = self._next()
        return True

    def untried(self) -> list[str]:
        """The accelerators that come before what computes now, and were neither proved nor refused."""
        ahead = self.ways.accelerators
        if self.provider in ahead:
            ahead = ahead[: ahead.index(self.provider)]
        return [one for one in ahead if self._verdicts.refused(one) is None and one not in self._unusable]

    def attempt(self, accelerator: str) -> Session | None:
        """A session of its own to try `accelerator` with, or None when it cannot be had."""
        if not self._verdicts.begin(accelerator):
            return None
        try:
            session = self._open_with(accelerator)
        except ArtifactRejected as error:
            # Not a verdict on what it computes: a driver may be installed tomorrow.
            self._verdicts.forget(accelerator)
            self._cannot(accelerator, error)
            return None
        if (session.inputs, session.outputs) != (self.inputs, self.outputs):
            session.close()
            self.refuse(accelerator, Because("provider-disagrees", f"{accelerator} gives the model another signature."))
            return None
        return session

    def adopt(self, accelerator: str, session: Session) -> None:
        """From now on `accelerator` computes, in what `attempt` gave."""
        self._verdicts.agree(accelerator)
        self._session.close()
        self.provider, self._session = accelerator, session

    def refuse(self, provider: str, because: Because) -> None:
        """Never again with this artifact and this version of the runtime."""
        _log.warning("%s is refused: %s", provider, because)
        self._verdicts.refuse(provider, because)

    def troubles(self) -> list[Because]:
        """Which of the device's ways to compute this artifact are not used, and why."""
        names = (*self.ways.accelerators, *self.ways.trusted)
        refused = (self._verdicts.refused(one) for one in names)
        return [one for one in (*refused, *self._unusable.values()) if one is not None]

    def _next(self) -> tuple[str, Session]:
        while True:
            provider = self._left.pop(0)
            try:
                return provider, self._open_with(provider)
            except ArtifactRejected as error:
                if not self._left:
                    raise
                self._cannot(provider, error)

    def _cannot(self, provider: str, error: ArtifactRejected) -> None:
        _log.warning("%s cannot be used: %s", provider, error.because)
        self._unusable[provider] = error.because
