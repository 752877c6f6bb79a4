"""The thread that decides rollouts: every second, and at once when a device or a person changes something."""

import logging
import threading

from cloud_hub.rollouts.orders import Orders
from cloud_hub.rollouts.service import RolloutService
from fleet_contract.because import Because

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
#: Reports come in bursts: what follows a first one closely is decided on together.
_GATHER_SECONDS = 0.05
_STOP_SECONDS = 30.0


class RolloutClock:
    """A `DeviceListener`: tell it what devices say. `connected` is for the broker link's `on_connected`."""

    def __init__(self, rollouts: RolloutService, orders: Orders) -> None:
        self._rollouts = rollouts
        self._orders = orders
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)
        self._trouble: Because | None = None
        rollouts.woken = self._woken.set

    def start(self) -> None:
        """Begins, with a look at every device: what happened while no hub ran is found."""
        self._orders.sweep()
        self._thread.start()

    def stop(self) -> None:
        """Ends after the decision that it is at."""
        self._stopping.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)

    def troubles(self) -> list[Because]:
        """What keeps rollouts from being decided, or devices from being ordered, now."""
        own = [self._trouble] if self._trouble else []
        return own + self._orders.troubles()

    def on_device_reported(self, device: str, generation: int) -> None:
        self._orders.hear(device, generation)
        self._woken.set()

    def on_device_joined(self, device: str) -> None:
        self._orders.touch(device)
        self._woken.set()

    def connected(self) -> None:
        """The broker is (again) there, and may have forgotten what it retained."""
        self._orders.sweep()
        self._woken.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.wait(EVERY_SECONDS)
            if self._stopping.wait(_GATHER_SECONDS):
                return
            self._woken.clear()
            try:
                self._rollouts.tick()
            except Exception as error:
                logger.exception("Rollouts could not be decided; trying again")
                self._trouble = Because(
                    "rollouts-failing",
                    f"Rollouts are not decided, and none advances: {type(error).__name__}: {error}. It is tried again "
                    "every second; the hub's log has more.",
                )
            else:
                self._trouble = None
