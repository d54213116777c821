"""`python3 -m deploy`: needs Python and nothing else. Makes `.venv` on the first run and goes on inside it.

Written so that a Python too old for the rest can still read it and say so.
"""

import io
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

if sys.version_info < (3, 11):
    sys.stderr.write(
        "需要 Python 3.11、3.12 或 3.13，当前为 %s。请用其中之一运行，例如 python3.12 -m deploy up。\n"
        "Python 3.11, 3.12 or 3.13 is needed, this is %s. Run with one of them, such as: python3.12 -m deploy up\n"
        % (sys.version.split()[0], sys.version.split()[0])
    )
    sys.exit(2)


# Also as `python3 /some/where/deploy`: modules are found from the root, and none of ours hides one of Python's.
sys.path[:] = [ROOT] + [entry for entry in sys.path if os.path.abspath(entry or os.curdir) not in (ROOT, os.path.join(ROOT, "deploy"))]


IN_ANY_ENVIRONMENT = (["down"], ["status"], ["logs"])
IN_USE = (
    "依赖须重新安装（版本有变、测试另有依赖，或换了 Python），但正在运行的进程还在用 .venv。请先停止：python3 -m deploy down",
    "The packages must be installed anew (newer ones, the tests' own, or for another Python), but what runs uses .venv. Stop it: python3 -m deploy down",
)


def show_what_can_be_shown():  # type: () -> None
    """Let a terminal whose encoding lacks a sign (such as a tick in GBK) show another one in its place: nothing is to fail for that."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "backslashreplace", "surrogateescape"):
            stream.reconfigure(errors="replace")


def open_what_is_closed():  # type: () -> None
    """Let nothing that we open become standard input or output where they are closed: a folder there keeps each Python that we start from starting."""
    while True:
        handle = os.open(os.devnull, os.O_RDWR)
        if handle > 2:
            os.close(handle)
            break
        os.set_inheritable(handle, True)  # noqa: FBT003 - takes no keyword
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as we live


def main(arguments):  # type: (list[str]) -> int
    """Check the machine, see that the environment is there, and run the command in it."""
    from pathlib import Path

    from deploy import preflight, venv

    open_what_is_closed()
    show_what_can_be_shown()

    root = Path(ROOT)
    folder = root / ".venv"
    state = Path(os.environ.get("LASTMETRE_STATE") or root / ".lastmetre").expanduser().resolve()
    own_python = os.environ.get("LASTMETRE_VENV") == "off"
    handle = venv.hold(root)
    if not own_python:
        venv.share(handle, sys.stderr)
    if own_python or venv.is_inside(folder):
        from deploy.cli import run

        return int(run(arguments))
    testing = "test" in arguments[:1]
    runtime, development = root / "requirements.lock", root / "requirements-dev.lock"
    accepted = (development,) if testing else (runtime, development)
    ready = venv.is_ready(folder, accepted)
    found = list(preflight.problems(root, state, installed=ready))
    for chinese, english in found:
        sys.stderr.write("%s\n%s\n" % (chinese, english))
    if found:
        return 2
    if not ready and not venv.is_ours(handle) and venv.interpreter(folder).exists():
        venv.share(handle, sys.stderr)
        ready = arguments[:1] in IN_ANY_ENVIRONMENT or venv.is_ready(folder, accepted)  # another terminal may just have made it
        if not ready:
            sys.stderr.write("%s\n%s\n" % IN_USE)
            return 1
    if not ready:
        # Once the tests' packages are in, keep them: a change of the lock must not throw them out by turns.
        wanted = development if testing or (folder / "bin" / "pytest").exists() else runtime
        try:
            venv.make(folder, wanted, state / "logs" / venv.LOG, sys.stderr)
        except venv.InstallFailed as fault:
            sys.stderr.write("%s\n" % fault)
            return 1
    venv.share(handle, sys.stderr)
    return venv.enter(folder, root, arguments)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # also while modules are imported, which takes a while the first time
        sys.exit(130)
