"""`python -m tests.fakes.capturing_process FOLDER MAX_BYTES`: captures noise for ever, and tells each that is kept."""

import sys
from pathlib import Path

from edge_agent.capture.store import Captures
from tests.edge_agent.capture.records import an_about, noise


def main() -> None:
    captures = Captures(Path(sys.argv[1]), int(sys.argv[2]), leave_bytes=0)
    number = captures.report().files
    while True:
        number += 1
        made = captures.keep(an_about(number), noise(number * 37 % 20_000, seed=number))
        if made is not None:
            sys.stdout.write(made.capture + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
