"""`vedette-agent`, also as `python -m edge_agent`."""

import gc
import sys


def main() -> int:
    """Runs the command of the command line, and gives its exit code."""
    # Importing makes no garbage, and looking for it takes a tenth of the start. `run` looks for it once its models
    # answer; the other commands are over before it matters.
    gc.disable()
    from edge_agent import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
