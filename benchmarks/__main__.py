"""Runs every benchmark, one after the other, and writes what they print to docs/benchmarks.md."""

import argparse
import os
import pkgutil
import platform
import subprocess
import sys
import time
from pathlib import Path

import benchmarks

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
PARTS = {"figure", "swarm", "__main__"}


def main() -> int:
    """0 when every promise is kept."""
    names = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name not in PARTS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "name", nargs="*", choices=[*names, []], help=f"which to run (default: all): {', '.join(names)}"
    )
    chosen: list[str] = parser.parse_args().name or names
    sections: list[str] = []
    failed: list[str] = []
    for name in chosen:
        print(f"== benchmarks.{name}", flush=True)
        started = time.monotonic()
        run = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}"], check=False, stdout=subprocess.PIPE, text=True
        )
        print(run.stdout, flush=True)
        if run.returncode:
            failed.append(name)
        sections.append(
            f"## `python -m benchmarks.{name}`\n\n{_table(run.stdout)}\n\n"
            f"Exit code {run.returncode} after {time.monotonic() - started:.0f} s.\n"
        )
    if chosen == names:
        PAGE.write_text(f"# Benchmarks\n\n{_machine()}\n\n" + "\n".join(sections))
        print(f"Written to {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}.")
    if failed:
        print(f"Short: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def _table(output: str) -> str:
    rows = [[cell.strip() for cell in line.split("|")] for line in output.splitlines() if line.count("|") == 5]
    body = "\n".join(
        f"| {name} | {ours.removeprefix('ours ')} | {anchor.removeprefix('anchor ')} | {ratio.removeprefix('ratio ')} "
        f"| {reach.removeprefix('reach ')} | {verdict} |"
        for name, ours, anchor, ratio, reach, verdict in rows
    )
    return f"| what | ours | anchor | ratio | reach | |\n|---|---|---|---|---|---|\n{body}"


def _machine() -> str:
    return (
        f"Written by `make bench` on {os.cpu_count()} cores ({platform.machine()}, Python "
        f"{platform.python_version()}). Compare ratios, not seconds: each anchor was measured in the same run."
    )


if __name__ == "__main__":
    sys.exit(main())
