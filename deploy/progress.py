"""Show the steps of a start: live lines with a clock on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from deploy.stack import Step


class Display:
    """A context in which steps are shown as they are reported."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._progress: Progress | None = None
        if console.is_terminal:
            columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn())
            self._progress = Progress(*columns, console=console)

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None  # what is still said goes below, line by line

    def __call__(self, step: Step) -> None:
        """Show one step."""
        began = self._began.setdefault(step.name, time.monotonic())
        if self._progress is not None:
            if step.name not in self._tasks:
                self._tasks[step.name] = self._progress.add_task(step.text, total=None)
            task = self._tasks[step.name]
            if step.finished:
                self._progress.update(task, description=step.text, total=1, completed=1)
            else:
                self._progress.update(task, description=step.text, total=step.total or None, completed=step.done)
        elif step.finished:
            self._console.print(f"✓ {step.text} ({time.monotonic() - began:.1f} s)", markup=False, highlight=False)
        elif self._told.get(step.name) != step.text:
            # A counter moves on in silence: a log wants one line a step.
            self._told[step.name] = step.text
            self._console.print(f"… {step.text}", markup=False, highlight=False)
