"""`python -m tests.checker DIR [--input FILE.jsonl]`: violations one a line, exit 1 if there are any."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.checker import check


def main(arguments: list[str] | None = None) -> int:
    """Check the folder named on the command line; 0 when every promise holds, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.checker", description="Check what play wrote.")
    parser.add_argument("directory", type=Path, help="the folder that play wrote")
    parser.add_argument("--input", type=Path, help="the file that play was given")
    parser.add_argument("--partitions", type=int, default=6, help="partitions of each topic (default 6)")
    parser.add_argument("--eager", action="store_true", help="every wish must be tried at once, not only the red ones")
    parser.add_argument("--quiet", action="store_true", help="no warnings, no counts")
    given = parser.parse_args(arguments)
    if not given.directory.is_dir():
        parser.error(f"{given.directory} is no folder")
    if given.input is not None and not given.input.is_file():
        parser.error(f"{given.input} is no file")
    report = check(given.directory, given.input, partitions=given.partitions, eager=given.eager)
    for violation in report.violations:
        print(violation)
    if not given.quiet:
        for warning in report.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        counts = ", ".join(f"{name} {number}" for name, number in sorted(report.counts.items()))
        print(f"{len(report.violations)} violations, {len(report.warnings)} warnings; {counts}", file=sys.stderr)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
