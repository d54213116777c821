"""A webhook's signature, what its answers mean, and when it is tried again."""

import hashlib
import hmac
import math
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from aiohttp import ClientTimeout

from schemas.codec import decode
from schemas.personal import code_of
from services.notifier import book, channels
from services.notifier.book import INTERRUPTED, Match, Notice, Untold, notice_key
from services.notifier.channels import Answer, backoff_seconds, body_of, judge, signature
from services.notifier.outbox import outgoing_of
from services.notifier.receipt import UNDELIVERED
from services.notifier.settings import Settings
from services.notifier.sms import judge_code
from services.runtime import BadSettings, load_settings

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
KEY = UUID("6f0c1b1e-8f0e-5a63-9d5d-0d6f5b7c2a41")


def test_signs_time_and_body() -> None:
    expected = hmac.new(b"a-secret-of-length", b'1790000000.{"a":1}', hashlib.sha256).hexdigest()
    assert expected == signature(b"a-secret-of-length", "1790000000", b'{"a":1}')


def test_the_body_says_whom_to_tell_what() -> None:
    slot = ("2026-11-24T08:00:00Z", "2026-11-24T09:00:00Z")
    notice = Notice(KEY, "m-1", "w-1", 0, "hightech", "volunteer", "confirmed", "v-1", "zh-CN", "好", slot)
    expected = {
        "to": "volunteer",
        "ref": "v-1",
        "kind": "confirmed",
        "language": "zh-CN",
        "text": "好",
        "match_id": "m-1",
        "wish_id": "w-1",
        "slot": {"start": slot[0], "end": slot[1]},
    }
    assert expected == orjson.loads(body_of(notice))


def test_the_key_of_a_notice_depends_on_match_side_and_kind_alone() -> None:
    assert notice_key("m-1", "resident", "confirmed") == notice_key("m-1", "resident", "confirmed")
    others = {notice_key("m-1", "volunteer", "confirmed"), notice_key("m-1", "resident", "released"), notice_key("m-2", "resident", "confirmed")}
    assert 3 == len(others - {notice_key("m-1", "resident", "confirmed")})
    assert 2 == len({notice_key("w-1", "volunteer", "invited", "v-1"), notice_key("w-1", "volunteer", "invited", "v-2")})


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (200, None, Answer("sent")),
        (204, None, Answer("sent")),
        (302, None, Answer("never", "redirected")),
        (308, "5", Answer("never", "redirected")),
        (400, "5", Answer("never", "refused")),
        (410, None, Answer("never", "refused")),
        (408, None, Answer("later", "http_4xx")),
        (425, None, Answer("later", "http_4xx")),
        (429, "7", Answer("later", "http_4xx", 7.0)),
        (503, "Tue, 24 Nov 2026 08:00:30 GMT", Answer("later", "http_away", 30.0)),
        (503, "Tue, 24 Nov 2026 07:00:00 GMT", Answer("later", "http_away", 0.0)),
        (502, "soon", Answer("later", "http_away", 0.0)),
        (504, None, Answer("later", "http_away", 0.0)),
        (501, None, Answer("later", "http_5xx", 0.0)),
        (500, "9999999", Answer("later", "http_5xx", 3600.0)),
    ],
)
def test_judges_an_answer(status: int, retry_after: str | None, expected: Answer) -> None:
    assert expected == judge(status, retry_after, NOW)


@pytest.mark.parametrize(
    ("code", "expected"), [("true", Answer("sent")), ("false", Answer("never", "code_refused")), ('"wait"', Answer("later", "code_later"))]
)
def test_a_gateway_whose_code_is_true_or_false_is_understood_as_json_writes_it(code: str, expected: Answer) -> None:
    assert expected == judge_code(f'{{"success":{code}}}'.encode(), ("success",), ("true",), ("wait",))


async def test_the_time_for_a_connection_includes_whoever_knows_the_address_and_ends_before_the_time_for_an_answer() -> None:
    async with channels.session_of(8.0, 1) as session:
        assert ClientTimeout(total=8.0, connect=7.2, ceil_threshold=math.inf) == session.timeout


def test_waits_longer_each_time_up_to_a_limit_and_always_the_same() -> None:
    pauses = [backoff_seconds(KEY.bytes, attempt, 1.0, 60.0) for attempt in range(1, 12)]
    assert pauses == [backoff_seconds(KEY.bytes, attempt, 1.0, 60.0) for attempt in range(1, 12)]
    for attempt, pause in enumerate(pauses, start=1):
        full = min(2.0 ** (attempt - 1), 60.0)
        assert full / 2 <= pause <= full


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("LASTMETRE_KAFKA", "127.0.0.1:9092")
    monkeypatch.setenv("LASTMETRE_DATABASE", "postgresql://lastmetre_notifier:hidden-word@127.0.0.1/lastmetre")
    return monkeypatch


def test_a_webhook_without_a_secret_is_refused_by_name_in_both_languages(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LASTMETRE_CHANNEL", "https://example.org/hook?token=hidden-word")
    with pytest.raises(BadSettings) as refused:
        load_settings(Settings)
    assert "缺少环境变量 LASTMETRE_WEBHOOK_SECRET" in str(refused.value)
    assert "variable LASTMETRE_WEBHOOK_SECRET is missing" in str(refused.value)
    assert "hidden-word" not in str(refused.value)


@pytest.mark.parametrize("channel", ["carrier-pigeon", "ftp://example.org/", "http://", "https://example.org:99999/", "https://[::1/"])
def test_an_unknown_channel_is_refused(environment: pytest.MonkeyPatch, channel: str) -> None:
    environment.setenv("LASTMETRE_CHANNEL", channel)
    with pytest.raises(BadSettings, match="LASTMETRE_CHANNEL"):
        load_settings(Settings)


def test_settings_never_show_a_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LASTMETRE_CHANNEL", "https://example.org/hook?token=hidden-word")
    environment.setenv("LASTMETRE_WEBHOOK_SECRET", "hidden-word-of-length")
    settings = load_settings(Settings)
    assert "https://example.org/hook?token=hidden-word" == settings.webhook
    assert "hidden-word" not in repr(settings)


def test_names_every_variable_that_is_missing_or_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LASTMETRE_DATABASE", raising=False)
    monkeypatch.setenv("LASTMETRE_KAFKA", "hidden word")
    with pytest.raises(BadSettings) as refused:
        load_settings(Settings)
    assert 2 == len(str(refused.value).splitlines())
    assert "缺少环境变量 LASTMETRE_DATABASE" in str(refused.value)
    assert "LASTMETRE_KAFKA is not valid" in str(refused.value)
    assert "hidden word" not in str(refused.value)


def test_a_code_that_is_a_number_is_not_kept() -> None:
    given = ["absent", "err30003", "smpp_0x0000000b", "13800001000", "to_13800001000", "88261234", None]
    assert ["absent", "err30003", "number_withheld", "number_withheld", "number_withheld", "number_withheld", None] == [code_of(one) for one in given]


def test_every_fault_of_ours_becomes_a_reason_that_the_matcher_reads() -> None:
    faults = {*book._CLEAR, *channels._UNCLEAR, INTERRUPTED, UNDELIVERED, "No code, but 13800001000", "x" * 41}
    match = Match("m-1", "w-1", "o-1", "hightech", 0, "r-1", "v-1", None, "unit", ("2026-11-24T08:00:00Z", "2026-11-24T09:00:00Z"), None, None)
    told = {fault: outgoing_of(Untold(match, fault), "2026-11-24T08:00:00Z") for fault in sorted(faults)}
    reasons = {fault: decode(one.topic, one.value, one.headers).data.reason for fault, one in told.items()}
    assert ("http_server_error", "http_not_now", "timeout") == (reasons["http_5xx"], reasons["http_4xx"], reasons["timeout"])
    assert "http_server_error" == reasons["http_away"]
    assert ("undeliverable", "undeliverable") == (reasons["No code, but 13800001000"], reasons["x" * 41])
