"""`python -m tests.fakes.faults.crashes FOLDER`: crash images and power cuts; one line of JSON at the end.

A program of its own, because its mounts are its own: whatever ends it, nothing stays mounted. Needs root.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

from edge_agent.store.disk import Disk
from tests.fakes.blob_server import serving
from tests.fakes.faults.mounts import own_mounts
from tests.fakes.faults.planted import PLANTED
from tests.fakes.faults.power import PowerCuts
from tests.fakes.faults.recording import record
from tests.fakes.faults.replay import Violation, replay
from tests.fakes.faults.watched import release


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", type=int, nargs="*", default=[], metavar="SEED")
    parser.add_argument("--images", type=int, default=100, help="of each recording")
    parser.add_argument("--cuts", type=int, nargs="*", default=[], metavar="SEED", help="power cuts, by their seeds")
    parser.add_argument("--disk", choices=PLANTED, help="with a bug planted")
    parser.add_argument("--stop-after", type=int, default=5, help="violations")
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    own_mounts()
    disk = PLANTED[chosen.disk] if chosen.disk else Disk
    images, cuts = 0, 0
    violations: list[Violation] = []
    blobs = {digest: data for version in (1, 2, 3) for digest, data in release(version).blobs.items()}
    with serving(blobs) as server:
        for seed in chosen.recordings:
            left = chosen.stop_after - len(violations)
            if left:
                folder = chosen.folder / f"recording-{seed}"
                recording = record(folder, server, seed, disk)
                seen = replay(folder, recording, server, seed=seed, images=chosen.images, stop_after=left)
                images += seen.images
                violations += seen.violations
        if chosen.cuts:
            power = PowerCuts(chosen.folder, server)
            for seed in chosen.cuts:
                cuts += 1
                broken = power.cut(seed)
                if broken is not None:
                    violations.append(Violation(f"power cut {seed}", broken))
    for one in violations:
        sys.stderr.write(f"{one.recipe}: {one.what}\n")
    found = [{"recipe": one.recipe, "what": one.what} for one in violations]
    sys.stdout.write(json.dumps({"images": images, "cuts": cuts, "violations": found}) + "\n")


if __name__ == "__main__":
    main()
