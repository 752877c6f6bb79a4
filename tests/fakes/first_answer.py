"""`vedette-agent` that ends at its first answer, and prints two lines: what it had imported when the request for
it came, and when it was given: `python -m tests.fakes.first_answer run ...`."""

import os
import sys
from typing import Any

from edge_agent import agent, cli
from edge_agent.serving.http.routes import Routes
from edge_agent.serving.port import Ticket
from edge_agent.telemetry.tally import Seen, Tally

_handle = Routes.handle
_at_request: list[str] = []


def _asked(routes: Routes, *request: Any) -> Ticket | None:
    _at_request[:] = sys.modules
    return _handle(routes, *request)


def _end(tally: Tally, seen: Seen) -> None:
    del tally, seen
    sys.stdout.write(f"{' '.join(_at_request)}\n{' '.join(sys.modules)}")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    Routes.handle = _asked  # type: ignore[method-assign]
    Tally.answered = _end  # type: ignore[method-assign]
    # On a busy machine the first caller may come late.
    agent._ANSWERS_FIRST_SECONDS = 60.0
    cli.main(sys.argv[1:])
