"""Power cuts: the file system of a running updater takes nothing more, at any moment, by ext4's own shutdown."""

import random
import threading
from pathlib import Path

from tests.fakes.blob_server import BlobServer
from tests.fakes.faults.laws import examine
from tests.fakes.faults.mounts import cut_power, loop_device, make_ext4, mounted
from tests.fakes.faults.recording import DISK_BYTES
from tests.fakes.faults.watched import Claims, Watched, Witness

#: From the first order to the end of the third on a quiet machine, and some more.
_LONGEST_SECONDS = 0.6


class PowerCuts:
    """One disk below `folder`, on which updates are cut off and taken up again."""

    def __init__(self, folder: Path, server: BlobServer) -> None:
        self._image = folder / "disk"
        self._mounted = folder / "mounted"
        self._server = server
        make_ext4(self._image, DISK_BYTES)

    def cut(self, seed: int) -> str | None:
        """Orders versions 1 to 3, one after the other, and cuts the power somewhere in between; then starts again
        from what is on the disk. The law that is broken, in a sentence, or None."""
        dice = random.Random(seed)
        with loop_device(self._image) as device:
            with mounted(device, self._mounted, "ext4") as root:
                claims = self._update_until_cut(root, dice)
            with mounted(device, self._mounted, "ext4") as root:
                broken = examine(root / "models", self._server, claims, dice.randint(1, 3))
        make_ext4(self._image, DISK_BYTES)
        return broken

    def _update_until_cut(self, root: Path, dice: random.Random) -> Claims:
        cut = threading.Event()
        with Watched(root / "models", self._server) as device:
            witness = Witness(device, Claims())

            def cut_off() -> None:
                witness.close(lambda: cut_power(root, dice.choice((0, 1, 2, 2))))
                cut.set()
                device.wake()

            timer = threading.Timer(dice.uniform(0.0, _LONGEST_SECONDS), cut_off)
            timer.start()
            for version in (1, 2, 3):
                witness.ordered(version)
                device.order(version, version)
                if not device.settles(version, unless=cut.is_set):
                    break
            timer.join()
        return witness.claims
