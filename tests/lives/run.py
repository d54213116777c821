"""Plays a file of lives, and the same one repeated and shuffled, each through the command `play`; compares what came of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from deploy.state import ROOT
from tests.lives import judge
from tests.lives.generate import generate, repeated_and_shuffled


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, if anything, and how much was looked at."""

    faults: list[str]
    counts: dict[str, Counter[str]]


def play(lines: list[tuple[int, bytes]], folder: Path, seconds: float) -> Path:
    """Write the lines and play them; the folder of results."""
    folder.mkdir(parents=True, exist_ok=True)
    file, out = folder / "events.jsonl", folder / "out"
    file.write_bytes(b"".join(line + b"\n" for _, line in lines))
    done = subprocess.run(
        [sys.executable, "-m", "deploy", "play", str(file), "--out", str(out)],
        cwd=ROOT, env=os.environ | {"LASTMETRE_VENV": "off"}, timeout=seconds, check=False, capture_output=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"play ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:].decode(errors='replace')}")
    return out


def run(seed: int, lives: int, folder: Path, seconds: float) -> Verdict:
    """Play twice, judge both, compare."""
    lines = generate(seed, lives)
    outs = {
        "as it is": play(lines, folder / "plain", seconds),
        "repeated and shuffled": play(repeated_and_shuffled(lines, seed), folder / "shuffled", seconds),
    }
    faults: list[str] = []
    counts: dict[str, Counter[str]] = {}
    for name, out in outs.items():
        report = judge.check(out)
        faults += [f"{name}: {one}" for one in report.violations]
        counts[name] = report.counts
    one, other = (judge.balance_bytes(out) for out in outs.values())
    if one != other:
        first, second = (judge.balances(out) for out in outs.values())
        faults += [
            f"balance of {account}: {first.get(account)} as it is, {second.get(account)} repeated and shuffled"
            for account in sorted(first.keys() | second.keys())
            if first.get(account) != second.get(account)
        ]
    return Verdict(faults, counts)
