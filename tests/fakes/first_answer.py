"""`vedette-agent` that ends at its first answer, and prints what it had imported by then:
`python -m tests.fakes.first_answer run ...`."""

import os
import sys

# As the command line does it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from edge_agent import agent, cli
from edge_agent.telemetry.tally import Seen, Tally


def _end(tally: Tally, seen: Seen) -> None:
    del tally, seen
    sys.stdout.write(" ".join(sys.modules))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    Tally.answered = _end  # type: ignore[method-assign]
    # On a busy machine the first caller may come late.
    agent._ANSWERS_FIRST_SECONDS = 60.0
    cli.main(sys.argv[1:])
