"""The core is pure: it imports nothing that could do I/O, tell the time, or draw lots."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import services.matcher.core

ALLOWED = frozenset(
    {"bisect", "collections.abc", "dataclasses", "hashlib", "heapq", "numpy", "numpy.typing", "scipy.sparse", "scipy.sparse.csgraph", "typing", "uuid"}
)
ALLOWED_PACKAGES = ("schemas", "services.matcher.core")
# Of allowed modules, what is not pure all the same; and built-ins that reach outside.
FORBIDDEN_NAMES = frozenset({"uuid1", "uuid4", "getnode", "now", "utcnow", "today", "open", "print", "input", "eval", "exec", "id", "hash", "__import__"})
CORE = sorted(Path(services.matcher.core.__path__[0]).glob("**/*.py"))


def breaches(source: str) -> Iterator[str]:
    """What a module of the core must not have, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "." * node.level]
            used = [alias.name for alias in node.names]
            yield from (f"line {node.lineno}: {name}" for name in used if name in FORBIDDEN_NAMES)
        elif isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
            names = []
            if called in FORBIDDEN_NAMES:
                yield f"line {node.lineno}: {called}()"
        else:
            continue
        for name in names:
            if name not in ALLOWED and not any(name == package or name.startswith(f"{package}.") for package in ALLOWED_PACKAGES):
                yield f"line {node.lineno}: {name}"


def test_all_modules_of_the_core_are_checked() -> None:
    assert {"decide.py", "rules.py", "ranking.py", "state.py", "together.py", "place.py"} <= {path.name for path in CORE}


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.name))
def test_the_core_imports_only_what_is_pure(path: Path) -> None:
    assert [] == list(breaches(path.read_text("utf-8")))


@pytest.mark.parametrize(
    "bad",
    [
        "import time",
        "import asyncio, heapq",
        "from random import choice",
        "from os import path",
        "def later():\n    import asyncpg",
        "from services.matcher import store",
        "from services.matcher.core_extras import x",
        "from . import rules",
        "from uuid import uuid4",
        "import uuid\nuuid.uuid4()",
        "from datetime import datetime",
        "moment.now()",
        "open('x')",
        "hash('skill')",
    ],
)
def test_the_check_finds_what_does_not_belong(bad: str) -> None:
    assert 1 == len(set(list(breaches(bad))[:1]))
