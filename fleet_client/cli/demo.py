"""`vedette demo`."""

from pathlib import Path

import click

from fleet_client.cli.lazy import HELP
from fleet_client.cli.program import require


@click.command(
    context_settings=HELP,
    epilog="""\b
Examples:
  vedette demo                     stays up until Ctrl-C: look at the console
  vedette demo --exit              checks that everything went as told, and exits 0 or 1
  vedette demo --data ./my-demo    keeps the hub's database, the lake and all logs
""",
)
@click.option("--exit", "leave", is_flag=True, help="Check the story, stop everything, exit 0 or 1.")
@click.option("--agents", type=click.IntRange(2, 50), default=6, show_default=True, help="How many devices.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep everything in this empty or new folder. [default: a temporary one, removed at the end]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8420,
    show_default=True,
    help="The console's port; any free one when it is taken.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="With json, the summary as JSON on stdout, and the progress on stderr.",
)
def demo(leave: bool, agents: int, data: Path | None, port: int, output: str) -> int:  # fmt: skip
    """Run a whole fleet on this machine: a hub and real agents on real data, a good version rolled out in waves, and
    a bad one stopped at the canaries and reverted."""
    for package, extra in (("uvicorn", "hub"), ("onnxruntime", "edge"), ("sklearn", "compile")):
        require(package, extra)
    from fleet_client.demo.run import run

    return run(agents=agents, data=data, port=port, leave=leave, as_json=output == "json")
