"""`python3 -m deploy vault ...`, as processes, on the real PostgreSQL; and the key file that `up` makes."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from deploy.stack import Stack
from deploy.state import State
from deploy.vault_keys import KEY_FILE, make_key_file
from deploy.words import Trouble
from tests.conftest import Database
from tests.forked import command
from tests.integration.notifier_rig import ask

ROOT = Path(__file__).parents[2]
AS = ("--as", "op-7", "--why", "registration")
NAME, PHONE, DOOR = "测试甲", "19900307123", "2单元1704"


class Terminal:
    """Runs commands in an environment of their own; personal data goes in by standard input."""

    def __init__(self, state: Path, **settings: str) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LASTMETRE_")}
        self.env = kept | {"LASTMETRE_STATE": str(state), "LASTMETRE_VENV": "off", "COLUMNS": "200"} | settings

    def __call__(self, *arguments: str, given: str = "", code: int = 0) -> str:
        done = command(["vault", *arguments], self.env, given=given)
        assert (code, "") == (done.code, "" if "Traceback" not in done.err else done.err), done.err
        return done.out + done.err


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    return Terminal(tmp_path / "state", LASTMETRE_VAULT_DATABASE=database.dsn("vault"))


def card(ref: str, **more: object) -> str:
    return json.dumps({"person_ref": ref, "area": "gaoxin", "contact": {"name": NAME, "phone": PHONE, "door": DOOR}, **more}) + "\n"


def test_from_the_first_key_to_the_erasure(terminal: Terminal, tmp_path: Path) -> None:
    assert "new-keys" in terminal("audit", code=1)
    terminal("new-keys")
    assert 0o600 == (tmp_path / "state" / KEY_FILE).stat().st_mode & 0o777
    assert "已存在" in terminal("new-keys", code=1)
    assert "2" in terminal("put", "-", *AS, given=card("r-1") + "\n" + card("r-2"))
    shown = terminal("show", "r-1", *AS)
    assert [NAME, PHONE, DOOR] == [value for value in (NAME, PHONE, DOOR) if value in shown]
    masked = terminal("show", "r-1", *AS, "--fields", "phone_masked,name_masked")
    assert "199****7123" in masked
    assert PHONE not in masked
    assert "2" in terminal("rotate", *AS, "--retire")
    terminal("erase", "r-1", *AS)
    assert "已被删除" in terminal("show", "r-1", *AS, code=1)
    assert DOOR in terminal("show", "r-2", *AS)
    told = terminal("audit", "r-1", "--lang", "en")
    assert [] == [value for value in (NAME, PHONE, DOOR) if value in told]
    assert 5 == told.count("op-7")
    assert "denied: this person was erased" in " ".join(told.split())


@pytest.mark.parametrize("erased", ["r-1", "helper"])
async def test_who_erases_somebody_hears_of_the_visits_that_are_still_to_come(terminal: Terminal, database: Database, erased: str) -> None:
    terminal("new-keys")
    terminal("put", "-", *AS, given=card("r-1") + card("helper"))
    visits = [("m-1", "w-over", "confirmed", -2), ("m-2", "w-2", "confirmed", 2), ("m-3", "w-3", "proposed", 3), ("m-4", "w-gone", "released", 3)]
    for match_id, wish_id, stage, hours in visits:
        await ask(
            database.dsn(),
            "INSERT INTO vault.visits (match_id, wish_id, resident_ref, helper_ref, stage, slot_start, slot_end, minor) "
            f"VALUES ('{match_id}', '{wish_id}', 'r-1', 'helper', '{stage}', now() + '{hours} h', now() + '{hours + 1} h', false)",
        )
    assert "2 visits with them are still to come, and the other side knows nothing of it. Wishes: w-2, w-3." in terminal("erase", erased, *AS, "--lang", "en")
    assert "still to come" not in terminal("erase", "r-1" if erased == "helper" else "helper", *AS, "--lang", "en")


def test_a_line_that_is_wrong_is_named_without_its_values_and_nothing_goes_in(terminal: Terminal) -> None:
    terminal("new-keys")
    told = terminal("put", "-", *AS, given=card("r-1") + card("r-2", contact={"phone": NAME, DOOR: PHONE}), code=1)
    assert "line 2" in told
    assert "contact.phone" in told
    assert [] == [value for value in (NAME, PHONE, DOOR) if value in told]
    assert "no such person" in terminal("show", "r-1", *AS, code=1)


def test_a_file_in_another_encoding_is_named_as_such_and_the_mark_that_some_editors_put_first_does_no_harm(terminal: Terminal, tmp_path: Path) -> None:
    terminal("new-keys")
    file = tmp_path / "people.jsonl"
    file.write_bytes(card("r-8").encode().decode("unicode_escape").encode("gbk"))
    told = terminal("put", str(file), *AS, code=1)
    assert "line 1: is no JSON in UTF-8" in told
    assert "第 1 行：不是 UTF-8 编码的 JSON" in told
    file.write_text(card("r-8"), encoding="utf-8-sig")
    assert "1 person is in" in terminal("put", str(file), *AS)
    narrow = Terminal(tmp_path / "state", LASTMETRE_VAULT_DATABASE=terminal.env["LASTMETRE_VAULT_DATABASE"], COLUMNS="60")
    assert "…" not in narrow("audit")


def test_a_child_needs_a_guardian(terminal: Terminal, tmp_path: Path) -> None:
    terminal("new-keys")
    assert "no consent" in terminal("put", "-", *AS, given=card("child", minor=True), code=1)
    paper = tmp_path / "signed.pdf"
    paper.write_bytes(b"signed")
    now = datetime.now(UTC)
    period = {"starts_at": (now - timedelta(hours=1)).isoformat(), "ends_at": (now + timedelta(days=90)).isoformat()}
    order = {"minor_ref": "child", "guardian_ref": "guardian", "purpose": "keep", "proof_file": str(paper), **period}
    assert "--as" in terminal("consents", "--from", "-", given=json.dumps(order), code=1)
    assert "line 1" in terminal("consents", "--from", "-", *AS, given=json.dumps({**order, "purpose": "fun"}), code=1)
    assert "guardian" in terminal("consents", "child", "--from", "-", *AS, given=json.dumps(order))
    terminal("put", "-", *AS, given=card("child", minor=True))
    assert "no consent" in terminal("show", "child", *AS, code=1)
    terminal("consents", "--from", "-", *AS, given=json.dumps({"withdraw": True, "minor_ref": "child", "guardian_ref": "guardian"}))
    assert "no consent" in terminal("put", "-", *AS, given=card("child"), code=1)


def test_from_when_until_when_a_consent_holds_is_told_with_the_year(terminal: Terminal) -> None:
    terminal("new-keys")
    period = {"starts_at": "2026-03-01T08:00:00+08:00", "ends_at": "2028-03-01T08:00:00+08:00"}
    order = {"minor_ref": "pupil", "guardian_ref": "guardian", "purpose": "keep", "proof_sha256": "0" * 64, **period}
    told = terminal("consents", "pupil", "--from", "-", *AS, given=json.dumps(order))
    assert ["2026-03-01 08:00:00", "2028-03-01 08:00:00"] == re.findall(r"20\d\d-03-01 08:00:00", told)


def test_nobody_is_their_own_guardian_and_what_does_not_go_together_is_said(terminal: Terminal) -> None:
    order = {"minor_ref": "child", "guardian_ref": "guardian", "purpose": "keep", "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2027-01-01T00:00:00Z"}
    for change, told in (
        ({"guardian_ref": "child", "proof_sha256": "0" * 64}, "line 1: guardian_ref: nobody is their own guardian"),
        (
            {"ends_at": "2025-01-01T00:00:00Z", "proof_sha256": "0" * 64},
            "line 1: purpose, starts_at, ends_at: all three, and it starts before it ends",
        ),
        ({}, "line 1: proof_file, proof_sha256: a consent has one of the two"),
    ):
        assert told in terminal("consents", "--from", "-", *AS, given=json.dumps({**order, **change}), code=1)


def test_what_is_wrong_with_orders_about_consents_is_said_before_any_is_carried_out(terminal: Terminal, tmp_path: Path) -> None:
    terminal("new-keys")
    now = datetime.now(UTC)
    order = {
        "minor_ref": "child",
        "guardian_ref": "guardian",
        "purpose": "keep",
        "starts_at": now.isoformat(),
        "ends_at": (now + timedelta(days=9)).isoformat(),
    }
    good, bad = {**order, "proof_sha256": "0" * 64}, {**order, "proof_file": str(tmp_path / "missing.pdf")}
    assert "line 2" in terminal("consents", "--from", "-", *AS, given=f"{json.dumps(good)}\n{json.dumps(bad)}", code=1)
    assert "keep" not in terminal("consents")
    gone = json.dumps({"withdraw": True, "minor_ref": "chidl", "guardian_ref": "guardian"})
    told = terminal("consents", "--from", "-", *AS, given=gone)
    assert "line 1: no consent to withdraw" in told
    assert "第 1 行" in told


def test_a_purpose_that_is_blank_and_an_argument_that_is_no_text_are_told_in_both_languages(terminal: Terminal) -> None:
    terminal("new-keys")
    told = terminal("put", "-", "--as", "op-7", "--why", "", given=card("r-1"), code=1)
    assert "未说明用途" in told
    assert "no purpose" in told
    assert "no such person" in terminal("show", "r-1", *AS, code=1)
    told = terminal("show", os.fsdecode(b"r-\xff"), *AS, code=1)
    assert "UTF-8 的字符" in told
    assert "no UTF-8" in told
    for looked_for in ("199 0300 1234", "１９９０３００１２３４"):  # no row of the audit ever goes
        assert "REF is a person's reference" in terminal("show", looked_for, *AS, code=1)
    assert "--match is a reference" in terminal("show", "r-1", "--match", "199 0300 1234", *AS, code=1)
    assert "--as is your own reference" in terminal("show", "r-1", "--as", "199 0300 1234", "--why", "support", code=1)
    assert "--as holds a phone" in terminal("erase", "r-1", "--as", "李梅19903001234", "--why", "support", code=1)


async def test_a_stack_that_runs_has_a_vault_with_a_key_and_no_service_is_given_it(
    start_stack: Callable[..., Awaitable[Stack]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LASTMETRE_VAULT_SECRET", base64.b64encode(secrets.token_bytes(32)).decode())
    stack = await start_stack(services=("notifier",))
    terminal = Terminal(stack.state.folder, LASTMETRE_VAULT_SECRET=os.environ["LASTMETRE_VAULT_SECRET"])
    await asyncio.to_thread(terminal, "put", "-", *AS, given=card("r-1"))
    assert DOOR in await asyncio.to_thread(terminal, "show", "r-1", *AS)
    assert [] == [name for service in stack.services for name in psutil.Process(service.pid).environ() if "VAULT" in name]
    # A server needs none of ours, and whoever owns the database reads what its process was given: `SELECT pg_read_file('/proc/self/environ')`.
    assert [] == [name for server in (stack.kafka, stack.postgres) for name in psutil.Process(server.pid).environ() if name.startswith("LASTMETRE_")]
    assert "sealed" in json.loads((stack.state.folder / KEY_FILE).read_bytes())


def test_up_makes_a_key_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LASTMETRE_VAULT_KEYS", raising=False)
    state = State(tmp_path)
    make_key_file(state)
    first = (tmp_path / KEY_FILE).read_bytes()
    make_key_file(state)
    assert first == (tmp_path / KEY_FILE).read_bytes()
    assert 0o600 == (tmp_path / KEY_FILE).stat().st_mode & 0o777


def test_a_key_file_that_is_named_is_not_made_but_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMETRE_VAULT_KEYS", str(tmp_path / "elsewhere.json"))
    with pytest.raises(Trouble, match="elsewhere"):
        make_key_file(State(tmp_path / "state"))
    assert not (tmp_path / "state" / KEY_FILE).exists()


def test_a_setting_that_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMETRE_VAULT_SECRET", "guess")
    with pytest.raises(Trouble, match="LASTMETRE_VAULT_SECRET"):
        make_key_file(State(tmp_path))
    monkeypatch.setenv("LASTMETRE_VAULT_DOOR_BEFORE_SECONDS", "-1")
    with pytest.raises(Trouble, match="LASTMETRE_VAULT_DOOR_BEFORE_SECONDS"):
        make_key_file(State(tmp_path))
