"""Keeps what runs on this device as the hub's newest signed order says. (Interface first; the body follows.)"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_agent.live import LiveModel
from fleet_contract.because import Because
from fleet_contract.report import ModelReport
from fleet_contract.signing import PublicKey
from fleet_contract.topics import Address


@dataclass(frozen=True)
class Trust:
    """Who this device is, and whose signatures it follows: the hub's for orders, the release key's for models."""

    address: Address
    target: str
    hub_keys: tuple[PublicKey, ...]
    release_keys: tuple[PublicKey, ...]


@dataclass(frozen=True)
class UpdaterState:
    """What a report says of updates. `generation` is of the desired state that is followed, 0 when none ever came."""

    generation: int = 0
    models: tuple[ModelReport, ...] = ()
    refused: Because | None = None
    troubles: tuple[Because, ...] = ()


class Updater:
    """`receive` on any thread; `run` on a thread of its own; `slot` gives what inference reads.

    `folder` is the updater's own, made when missing; `hub` is the URL that relative URLs start from.
    """

    on_change: Callable[[], None]
    """Called after each change of `state()`, on the thread that made it; must return soon and not raise."""

    def __init__(self, folder: Path, trust: Trust, hub: str) -> None:
        raise NotImplementedError

    def slot(self, model: str) -> LiveModel:
        """The slot of `model`: always the same one, also before anything is known of the model."""
        raise NotImplementedError

    def receive(self, payload: bytes) -> None:
        """Takes in a desired state. Never raises on bad content: `state().refused` says why it is not followed."""
        raise NotImplementedError

    def run(self, stop: threading.Event) -> None:
        """Reconciles until `stop` is set and `wake` was called (or a second has passed); then empties all slots."""
        raise NotImplementedError

    def wake(self) -> None:
        """Makes `run` look at `stop` at once."""
        raise NotImplementedError

    def state(self) -> UpdaterState:
        """What is, for the next report."""
        raise NotImplementedError
