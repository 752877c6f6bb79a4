"""Runs benchmarks, one after the other, and writes what they print to their sections of docs/benchmarks.md."""

import argparse
import os
import pkgutil
import platform
import subprocess
import sys
import time
from pathlib import Path

import benchmarks

_HEADING = "## `python -m benchmarks."
_TITLE = """\
# Benchmarks

Written by `make bench`. Compare ratios, not seconds: each anchor was measured in the same run as ours."""
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
PARTS = {
    "crowd",
    "environment",
    "figure",
    "host",
    "load",
    "nets",
    "relay",
    "releases",
    "rules",
    "servers",
    "standalone",
    "swarm",
    "windows",
    "__main__",
}


def main() -> int:
    """0 when every promise is kept."""
    names = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name not in PARTS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "name", nargs="*", choices=[*names, []], help=f"which to run (default: all): {', '.join(names)}"
    )
    chosen: list[str] = parser.parse_args().name or names
    sections = _sections(PAGE.read_text()) if PAGE.exists() else {}
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
        seconds = time.monotonic() - started
        sections[name] = f"{_table(run.stdout)}\n\nExit code {run.returncode} after {seconds:.0f} s, {_machine()}.\n"
    written = "\n".join(f"{_HEADING}{name}`\n\n{sections[name]}" for name in names if name in sections)
    PAGE.write_text(f"{_TITLE}\n\n{written}")
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


def _sections(page: str) -> dict[str, str]:
    """What the page has, by benchmark."""
    found = {}
    for section in page.split(_HEADING)[1:]:
        name, _, text = section.partition("`\n\n")
        found[name] = text.rstrip() + "\n"
    return found


def _machine() -> str:
    return f"on {os.cpu_count()} cores ({platform.machine()}, Python {platform.python_version()})"


if __name__ == "__main__":
    sys.exit(main())
