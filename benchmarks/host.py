"""A part of `benchmarks.swap`: updater, engine and serving as a process of their own, with orders from standard input.

`python -m benchmarks.host FOLDER NET QUEUE` makes FOLDER/vedette.sock and prints a line for what it has carried out:
"1" runs version 1, "2" runs version 2 instead, and "1 2" runs version 1 with version 2 as its shadow.
"""

import sys
import threading
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.nets import NETS
from benchmarks.standalone import build_of
from edge_agent.allotment import allotted_bytes
from edge_agent.config import Serving
from edge_agent.core.journal import key
from edge_agent.core.room import room
from edge_agent.live import LiveModel
from edge_agent.serving.engine import ServingEngine
from edge_agent.serving.front import Front
from edge_agent.telemetry.tally import Tally
from edge_agent.telemetry.window import Recorder
from fleet_contract.desired import SHADOW_SLOT
from tests.fakes import device
from tests.fakes.blob_server import serving


def main(folder: Path, name: str) -> None:
    """Runs until standard input ends."""
    net = next(one for one in NETS if one.name == name)
    builds = {version: build_of(net, version, seed=version) for version in (1, 2)}
    recorder = Recorder(10_000)
    tally = Tally(recorder)
    stop = threading.Event()
    with serving() as blobs, device.running(folder / "models", blobs) as gateway:
        for build in builds.values():
            blobs.blobs.update(build.blobs)
        updater = gateway.updater
        engine = ServingEngine(
            updater.slot, lambda: [key(one.model, one.slot) for one in updater.state().models], tally
        )
        front = Front(Serving(), room(0, allotted_bytes()), folder, engine, lambda: None)
        threads = [threading.Thread(target=loop, args=(stop,)) for _, loop in front.loops()]
        for thread in threads:
            thread.start()
        for number, line in enumerate(sys.stdin, 1):
            live, *shadows = map(int, line.split())
            assignments = [device.an_assignment(builds[live].manifest)]
            assignments += [
                msgspec.structs.replace(device.an_assignment(builds[one].manifest), slot=SHADOW_SLOT) for one in shadows
            ]
            updater.receive(device.a_desired(number, *assignments))
            gateway.until_settled(live, name)
            gateway.until(partial(_is_filled, updater.slot(key(name, SHADOW_SLOT)), bool(shadows)))
            compared = sum(one.compared for one in recorder.collect(0, everything=True))
            print(compared, flush=True)
        stop.set()
        front.wake()
        for thread in threads:
            thread.join()
        engine.close()
        tally.close()


def _is_filled(slot: LiveModel, wanted: bool) -> bool:
    return (slot.manifest is not None) == wanted


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
