"""`python -m models.compiler`: checks an artifact before it is registered, and lists the compile profiles."""

import sys
from pathlib import Path

import click

from fleet_contract.encoding import encode
from models.compiler import confined
from models.compiler.admission import Refused
from models.compiler.targets import TARGETS

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Checks what was compiled. To build a model, use `python -m models build`."""


@main.command()
@click.option("--artifact", type=_FILE, required=True, help="The .onnx or .tflite file.")
@click.option("--manifest", type=_FILE, required=True, help="Its manifest, JSON, unsigned; version 0 is 'the next'.")
@click.option("--golden", "golden_set", type=_FILE, required=True, help="The .npz golden set that the manifest names.")
@click.option("--timeout", type=float, default=confined.SECONDS, show_default=True, help="Seconds it may take.")
@click.option(
    "--memory-mib", type=int, default=confined.MEMORY_MIB, show_default=True, help="Address space that it may have."
)
def check(artifact: Path, manifest: Path, golden_set: Path, timeout: float, memory_mib: int) -> None:
    """Says whether an artifact may be registered.

    It must be the bytes that its manifest names, load in ONNX Runtime or LiteRT with the manifest's inputs and
    outputs, and answer its golden set closely enough. One JSON object goes to standard output: {"ok": true,
    "agreement", ...} and exit code 0, or {"ok": false, "code", "detail", "remedy"} and exit code 1. The files may come
    from anybody: they are read in a child process with bounds on memory and time.

    Example: python -m models.compiler check --artifact build/digits/artifact.cpu-avx2.onnx
    --manifest build/digits/manifest.cpu-avx2.json --golden build/digits/golden.npz
    """
    verdict = confined.check(artifact, manifest, golden_set, seconds=timeout, memory_mib=memory_mib)
    sys.stdout.write(encode(verdict).decode() + "\n")
    sys.exit(isinstance(verdict, Refused))


@main.command()
def targets() -> None:
    """Lists the hardware targets that models can be compiled for."""
    for target in TARGETS.values():
        click.echo(f"{target.name:<10} {target.about}")


if __name__ == "__main__":
    main(prog_name="python -m models.compiler")
