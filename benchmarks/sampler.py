"""Where a service's time goes: `python -m benchmarks.sampler OUT.json services.matcher` runs it and looks every few milliseconds of processor time.

A signal by processor time costs next to nothing, while a tracing profiler makes small functions look large. C code shows under the Python line that called it;
what the garbage collector takes shows under whatever line made the last object, so it is also measured by itself.
"""

import atexit
import gc
import json
import runpy
import signal
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType
from typing import Any, Final

_EVERY_SECONDS: Final = 0.002


def _name(frame: FrameType) -> str:
    code = frame.f_code
    path = Path(code.co_filename)
    return f"{'/'.join(path.parts[-2:])}:{code.co_qualname}"


class Sampler:
    """Counts samples by the function that ran (`own`) and by every function on the stack (`total`)."""

    def __init__(self) -> None:
        self.samples = 0
        self.own: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self.total: Counter[str] = Counter()
        self.collections: Counter[int] = Counter()
        self.collecting_seconds: defaultdict[int, float] = defaultdict(float)
        self._began = 0.0

    def collector(self, phase: str, facts: dict[str, int]) -> None:
        """The garbage collector begins or ends."""
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.collections[facts["generation"]] += 1
            self.collecting_seconds[facts["generation"]] += time.perf_counter() - self._began

    def look(self, _signal: int, frame: FrameType | None) -> None:
        """One sample."""
        if frame is None:
            return
        self.samples += 1
        self.own[_name(frame)] += 1
        self.lines[f"{_name(frame)}:{frame.f_lineno}"] += 1
        names = set()
        while frame is not None:
            names.add(_name(frame))
            frame = frame.f_back
        self.total.update(names)

    def write(self, path: Path) -> None:
        """What was seen, as JSON."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        seen: dict[str, Any] = {
            "samples": self.samples,
            "own": self.own.most_common(60),
            "lines": self.lines.most_common(60),
            "total": self.total.most_common(120),
        }
        seen |= {"collections": dict(self.collections), "collecting_seconds": dict(self.collecting_seconds)}
        path.write_text(json.dumps(seen, indent=1), encoding="utf-8")


def main() -> None:
    """Run the module named by the second argument under the sampler."""
    out, module = Path(sys.argv[1]), sys.argv[2]
    sys.argv = [module, *sys.argv[3:]]
    sampler = Sampler()
    signal.signal(signal.SIGPROF, sampler.look)
    signal.setitimer(signal.ITIMER_PROF, _EVERY_SECONDS, _EVERY_SECONDS)
    gc.callbacks.append(sampler.collector)
    atexit.register(sampler.write, out)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
