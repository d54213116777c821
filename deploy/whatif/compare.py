"""Every policy on the whole month: areas and policies in processes of their own where that is worth it, for the core uses one processor."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Final

from deploy.whatif.choice import Choice
from deploy.whatif.course import Tally, run
from deploy.whatif.findings import Known, Row, known, row
from deploy.whatif.months import Month

# Below that many events it is done sooner than a process is started.
_ALONE_EVENTS: Final = 600

Told = Callable[[int, int], None]


def compare(month: Month, choices: Sequence[Choice], told: Told = lambda _done, _total: None) -> tuple[Known, list[Row]]:
    """What holds whichever policy decides, and a row a policy; `told` hears how many courses are done, of how many."""
    jobs = [(choice.name, area) for choice in choices for area in month.arrivals]
    policies = {(choice.name, area): choice.policies.of(area) for choice in choices for area in month.arrivals}
    workers = min(os.cpu_count() or 1, len(jobs))
    done: dict[tuple[str, str], Tally] = {}

    def note(job: tuple[str, str], tally: Tally) -> None:
        done[job] = tally
        told(len(done), len(jobs))

    told(0, len(jobs))
    if workers < 2 or month.events < _ALONE_EVENTS:
        of = known(month)
        for job in jobs:
            note(job, run(job[1], policies[job], month.arrivals[job[1]], month.answers))
    else:
        # Started afresh: a fork would take along whatever threads there are.
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_at_once) as pool:
            waiting = {pool.submit(run, job[1], policies[job], month.arrivals[job[1]], month.answers): job for job in _largest_first(jobs, month)}
            of = known(month)
            for future in as_completed(waiting):
                note(waiting[future], future.result())
    return of, [row(choice.name, of, {area: done[choice.name, area] for area in month.arrivals}) for choice in choices]


def _end_at_once() -> None:
    """Ctrl-C ends a worker without a word: whoever started it has something to say."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _largest_first(jobs: Iterable[tuple[str, str]], month: Month) -> list[tuple[str, str]]:
    return sorted(jobs, key=lambda job: -len(month.arrivals[job[1]]))
