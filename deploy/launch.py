"""Start one program so that it cannot outlive the one who started it.

`deploy/process.py` runs this file as a script, with one JSON object as its argument; nothing imports it. It drops root where it is told to, ties the
program's life to its parent's, and becomes the program (`exec`). It knows the standard library alone and starts in a few
milliseconds (`python -I -S`).

The object: `argv` (list of str), `parent` (pid of the starter), `signal` (number sent to the program when the parent is gone),
`cwd` (str or null), `uid` and `gid` (int or null: keep), `watch` (bool: stand beside the program instead of becoming it).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
PARENT_GONE = 125
WATCH_SECONDS = 0.1


def become(uid: int, gid: int) -> None:
    """Go on as another user. PostgreSQL refuses to run as root.

    On Linux the right to pass through folders is kept where we have it: a repository under `/root`, or a temporary folder of root's, has parents that
    nobody else may enter, and neither opening those to all nor moving the data elsewhere would be better.
    """
    if sys.platform != "linux":
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()
    libc.capget(header, held)
    permitted = held[1]
    keep = next((c for c in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if permitted >> c & 1), None)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    mask = 0 if keep is None else 1 << keep
    libc.capset(header, (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0))
    if keep is not None:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, keep, 0, 0)


def watch(argv: list[str], parent: int, signal_number: int) -> int:
    """Run the program as a child and end it when the parent is gone: for systems without a parent-death signal."""
    child = subprocess.Popen(argv)

    def forward(number: int, _frame: object) -> None:
        child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, forward)
    orphaned = False
    while True:
        try:
            return child.wait(WATCH_SECONDS)
        except subprocess.TimeoutExpired:
            if not orphaned and os.getppid() != parent:
                orphaned = True
                child.send_signal(signal_number)
        except InterruptedError:
            time.sleep(0)


def main() -> int:
    """Read the order, prepare, and become the program; the exit code is the program's, or 125 when the parent is gone already."""
    order: dict[str, Any] = json.loads(sys.argv[1])
    if order["cwd"] is not None:
        os.chdir(order["cwd"])
    if order["uid"] is not None:
        become(order["uid"], order["gid"])
    if order["watch"]:
        return watch(order["argv"], order["parent"], order["signal"])
    # After the change of user: the kernel forgets this wish when the user changes.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, order["signal"], 0, 0, 0)
    if os.getppid() != order["parent"]:
        return PARENT_GONE
    return os.execv(order["argv"][0], order["argv"])


if __name__ == "__main__":
    sys.exit(main())
