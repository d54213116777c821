"""The documents against what they speak of: links, files, modules, commands, variables, metrics, settings, packages, and the tests that the decisions name."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from deploy import cli
from deploy.explainer import Settings as ExplainerSettings
from deploy.prepare import MigrationsSettings, TopicsSettings
from services.gateway.board.__main__ import measure
from services.gateway.edge import Meters
from services.gateway.settings import Settings as GatewaySettings
from services.matcher.app import MatcherSettings
from services.matcher.metrics import Metrics as MatcherMetrics
from services.notifier.metrics import Metrics as NotifierMetrics
from services.notifier.settings import Settings as NotifierSettings
from services.runtime import PREFIX, ServiceSettings
from services.vault.settings import VaultSettings

ROOT = Path(__file__).parents[2]
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
DOCUMENTS = (*READMES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
README_LINES_MAX = 150
# Made by the commands, not part of the project.
MADE = (".venv", ".lastmetre")
ENDINGS = ("py", "md", "yml", "yaml", "toml", "in", "lock", "jsonl", "json", "sha256", "example")
# The board's writer has the settings that all services with Kafka have, and no others.
OWNERS: dict[str, tuple[type[BaseSettings], ...]] = {
    "with Kafka": (MatcherSettings, NotifierSettings, GatewaySettings, ServiceSettings, TopicsSettings),
    "services": (MatcherSettings, NotifierSettings, GatewaySettings, ServiceSettings, ExplainerSettings),
    "matcher, explainer": (MatcherSettings, ExplainerSettings),
    "explainer": (ExplainerSettings,),
    "notifier, gateway": (NotifierSettings, GatewaySettings),
    "matcher": (MatcherSettings,),
    "notifier": (NotifierSettings,),
    "gateway": (GatewaySettings,),
    "migrations": (MigrationsSettings,),
    "vault": (VaultSettings, NotifierSettings, GatewaySettings),
}


def spans(text: str) -> list[str]:
    """Everything that is written as code: inline, fenced or indented."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in fenced for line in block.splitlines()]
    return [*lines, *re.findall(r"^ {4}(\S.*)$", rest, re.MULTILINE), *re.findall(r"`([^`\n]+)`", rest)]


def links(text: str) -> list[str]:
    """The targets of links that lead to files of ours."""
    return [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:|#", target)]


def paths(text: str) -> Iterator[str]:
    """The files and folders that a text names as code; `path::test` names the file."""
    for span in spans(text):
        for word in span.split():
            name = word.rstrip(",;").partition("::")[0]
            if not re.fullmatch(r"[\w.][\w./-]*", name) or name.split("/")[0] in MADE or name == ".env":
                continue
            if "/" in name or ("." in name and name.rpartition(".")[2] in ENDINGS):
                yield name


def is_there(name: str) -> bool:
    """Whether a path exists, from the root, or (without a folder) anywhere among ours."""
    if (ROOT / name).exists():
        return True
    folders = ("schemas", "services", "deploy", "tests", "benchmarks", "docs")
    return "/" not in name and any(True for folder in folders for _ in (ROOT / folder).rglob(name))


def is_no_path(name: str) -> bool:
    """Words with a slash or a full stop that are something else: types of content, routes, what stands for the reader's own files."""
    return name in {"application/cloudevents+json", "journal.jsonl", "ledger.jsonl", "matches.jsonl", "summary.json"} or name.startswith(
        ("benchmarks/results", "/")
    )


def commands() -> set[str]:
    """Every command of `python3 -m deploy`, with those under it."""
    app = typer.Typer()
    for command in cli.app.registered_commands:
        app.registered_commands.append(command)
    for module in cli.COMMAND_MODULES:
        importlib.import_module(module).register(app)

    def walk(command: Any, path: str) -> Iterator[str]:
        yield path
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, f"{path} {name}".strip())

    return set(walk(typer.main.get_command(app), ""))


def named_commands(text: str, known: set[str]) -> Iterator[str]:
    """The commands of `python3 -m deploy` that a text names, as far as each goes."""
    for span in spans(text):
        for rest in re.findall(r"python3? -m deploy((?: [\w-]+)*)", span):
            words = rest.split()
            groups = {one.split()[0] for one in known if " " in one}
            yield " ".join(words[:2]) if words and words[0] in groups else " ".join(words[:1])


@cache
def names_of_tests(path: Path) -> set[str]:
    """The names of a file's tests; a machine of Hypothesis is one under the name that it is given (`TestThis = That.TestCase`)."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")}
    assigned = {target.id for node in nodes if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)}
    return functions | {name for name in assigned if name.startswith("Test")}


def missing_tests(text: str) -> list[str]:
    """The `path::test` that a text names and nobody wrote."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    return [f"{path}::{name}" for path, name in named if not (ROOT / path).exists() or name not in names_of_tests(ROOT / path)]


def requirements() -> set[str]:
    """The packages of both lists, in lower case."""
    lines = [line for name in ("requirements.in", "requirements-dev.in") for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return {found[0].lower() for line in lines if (found := re.match(r"[A-Za-z][\w-]*", line))}


def settings_rows() -> list[tuple[str, str, str]]:
    """(variable, owner, default) of the table in docs/operations.md."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = text.partition("<!-- settings:")[2].partition("<!-- settings end -->")[0]
    return [(row[0], row[1], row[2].strip("`")) for row in re.findall(r"^\| `(LASTMETRE_\w+)` \| ([\w, ]+) \| (\S+) \|", table, re.MULTILINE)]


def shown(model: type[BaseSettings], name: str) -> str:
    """A setting's default, as the table has it."""
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return "unset" if default is None else str(default)


def identity(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def known() -> set[str]:
    return commands()


@pytest.mark.parametrize("document", DOCUMENTS, ids=identity)
def test_every_link_leads_somewhere(document: Path) -> None:
    assert [] == [target for target in links(document.read_text(encoding="utf-8")) if not (document.parent / target).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=identity)
def test_every_file_that_is_named_is_there(document: Path) -> None:
    assert [] == [name for name in paths(document.read_text(encoding="utf-8")) if not is_no_path(name) and not is_there(name)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=identity)
def test_every_module_that_is_run_is_there(document: Path) -> None:
    modules = {
        name for span in spans(document.read_text(encoding="utf-8")) for name in re.findall(r"-m ((?:schemas|services|deploy|tests|benchmarks)[\w.]*)", span)
    }
    assert [] == sorted(name for name in modules if importlib.util.find_spec(name) is None)


@pytest.mark.parametrize("document", DOCUMENTS, ids=identity)
def test_every_command_that_is_named_is_one(document: Path, known: set[str]) -> None:
    assert [] == sorted(set(named_commands(document.read_text(encoding="utf-8"), known)) - known)


@pytest.mark.parametrize("readme", READMES, ids=identity)
def test_a_readme_names_every_command(readme: Path, known: set[str]) -> None:
    words = {word for span in spans(readme.read_text(encoding="utf-8")) for word in span.split()}
    assert [] == sorted(command for command in known if not set(command.split()) <= words)


@pytest.mark.parametrize("document", DOCUMENTS, ids=identity)
def test_every_variable_that_is_named_is_read_somewhere(document: Path) -> None:
    settings = {f"{PREFIX}{name.upper()}" for models in OWNERS.values() for model in models for name in model.model_fields}
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "deploy").rglob("*.py"))
    named = set(re.findall(r"\bLASTMETRE_[A-Z_]+\b", document.read_text(encoding="utf-8")))
    assert [] == sorted(name for name in named - settings if f'"{name}"' not in sources)


@pytest.mark.parametrize("readme", READMES, ids=identity)
def test_a_readme_is_short(readme: Path) -> None:
    assert README_LINES_MAX >= len(readme.read_text(encoding="utf-8").splitlines())


def test_the_readmes_speak_of_the_same_things() -> None:
    first, second = ([*links(readme.read_text(encoding="utf-8"))] for readme in READMES)
    assert {target for target in first if not target.startswith("README")} == {target for target in second if not target.startswith("README")}


@pytest.mark.parametrize("decision", DECISIONS, ids=identity)
def test_a_decision_names_a_test_that_holds_it(decision: Path) -> None:
    held = decision.read_text(encoding="utf-8").partition("\n## Held by\n")[2]
    assert re.search(r"`tests/[\w/]+\.py::[Tt]est\w+`", held), f"{identity(decision)} names no test under 'Held by'"
    assert [] == missing_tests(held)


@pytest.mark.parametrize("decision", DECISIONS, ids=identity)
def test_a_decision_says_what_else_was_possible_and_what_follows(decision: Path) -> None:
    headings = re.findall(r"^## (.+)$", decision.read_text(encoding="utf-8"), re.MULTILINE)
    assert [] == [wanted for wanted in ("What it is about", "Decision", "Alternatives", "What follows", "Held by") if wanted not in headings]


def test_the_tests_that_hold_privacy_are_there() -> None:
    text = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    assert [] == missing_tests(text)
    assert 20 < text.count("::test_")


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    listed = links((ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8"))
    assert [f"{number:04}" for number in range(1, len(DECISIONS) + 1)] == [path.name[:4] for path in DECISIONS]
    assert [path.name for path in DECISIONS] == listed


def test_every_setting_is_in_the_table_of_its_service() -> None:
    told = {(model, variable) for variable, owner, _ in settings_rows() for model in OWNERS[owner]}
    models = {model for models in OWNERS.values() for model in models}
    there = {(model, f"{PREFIX}{name.upper()}") for model in models for name in model.model_fields}
    assert set() == there ^ told


def test_the_table_tells_each_settings_default() -> None:
    rows = settings_rows()
    wanted = [(variable, owner, shown(OWNERS[owner][0], variable.removeprefix(PREFIX).lower())) for variable, owner, _ in rows]
    assert wanted == rows


def test_every_metric_that_is_named_exists() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    board, gateway = CollectorRegistry(), CollectorRegistry()
    measure(board, lambda: None)
    Meters(gateway)
    families = [family for registry in (MatcherMetrics().registry, NotifierMetrics().registry, board, gateway) for family in registry.collect()]
    exist = {name for family in families for name in (family.name, f"{family.name}_total")}
    named = {name for name in re.findall(r"lastmetre_(?:matcher|notifier|board|gateway)_\w+", text) if not name.endswith("_")}
    assert [] == sorted(named - exist)


def test_every_dependency_has_its_line_and_no_other_has() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = [name.strip().lower() for row in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE) for name in row.split(",")]
    assert requirements() == {name for name in rows if name not in {"package", "---"}}


def test_the_changelog_tells_of_the_projects_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    assert f"## [{version[1]}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_is_not_there_would_be_found(known: set[str]) -> None:
    text = (
        "See [this](gone.md), `schemas/gone.py`, `gone.lock`, `tests/contract/test_docs.py::test_gone` and `tests/gone.py::test_gone`; "
        "run `python3 -m deploy vanish --now`."
    )
    assert ["gone.md"] == links(text)
    assert ["schemas/gone.py", "gone.lock", "tests/gone.py"] == [name for name in paths(text) if not is_there(name)]
    assert ["tests/contract/test_docs.py::test_gone", "tests/gone.py::test_gone"] == missing_tests(text)
    assert {"vanish"} == set(named_commands(text, known)) - known
