"""Each channel against a real server of its kind: what goes out, and what every answer means."""

from __future__ import annotations

import asyncio
import base64
import codecs
import contextlib
import hashlib
import hmac
import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from schemas.personal import find_personal_data
from services.notifier.app_inbox import AppInbox
from services.notifier.apprised import Apprised
from services.notifier.book import About, Notice
from services.notifier.bots import Bot
from services.notifier.channel_settings import Named, channels_of
from services.notifier.channels import SIGNATURE_HEADER, TIMESTAMP_HEADER, Answer, Webhook, signature
from services.notifier.mail import Mail
from services.notifier.notices import text_for_worker
from services.notifier.said import in_each
from services.notifier.sms import SmsGateway
from services.notifier.store import Store
from tests.conftest import Database
from tests.integration.channel_rig import PASSWORD, USER, Gateway, Mailbox, gateway, mail_server
from tests.integration.notifier_rig import SECRET, ask

KEY = UUID("6f0c1b1e-8f0e-5a63-9d5d-0d6f5b7c2a41")
SLOT = ("2026-11-24T08:00:00Z", "2026-11-24T09:00:00Z")
NUMBER = "13812345678"
ENVIRONMENT = {"A_SECRET": SECRET, "A_USER": USER, "A_PASSWORD": PASSWORD}


def notice(**more: Any) -> Notice:
    values: dict[str, Any] = {"category": "repair", "rung": "building"} | more
    return Notice(KEY, "m-1", "w-1", 2, "hightech", "resident", "confirmed", "r-1", values.pop("language", "zh-CN"), "您好，约好了。", SLOT, **values)


def named(section: dict[str, Any], **secrets: str) -> Named:
    return channels_of(json.dumps({"one": section}), ENVIRONMENT | secrets)["one"]


def of(section: dict[str, Any], **secrets: str) -> tuple[Named, Any]:
    found = named(section, **secrets)
    return found, found.config


# --- text messages


@pytest.fixture
async def system() -> AsyncIterator[Gateway]:
    async with gateway() as found:
        yield found


def sms(system: Gateway, **more: Any) -> SmsGateway:
    return SmsGateway(*of({"type": "sms", "url": f"{system.base}/send", "secret_env": "A_SECRET", "timeout_seconds": 0.5} | more))


async def test_a_gateway_gets_template_parameters_text_key_and_signature(system: Gateway) -> None:
    channel = sms(system, templates={"default": "T_0", "confirmed.resident": "T_1"})
    assert Answer("sent") == await channel.send(notice(), NUMBER)
    await channel.close()
    (seen,) = system.seen
    assert {
        "to": NUMBER,
        "sign": "最后一米",
        "template": "T_1",
        "parameters": {"category": "小修小补", "near": "同楼", "when": "11月24日（周二）16:00至17:00"},
        "text": "【最后一米】您好，约好了。",
        "language": "zh-CN",
    } == seen.body
    assert str(KEY) == seen.headers["idempotency-key"]
    assert signature(SECRET.encode(), seen.headers[TIMESTAMP_HEADER.lower()], seen.raw) == seen.headers[SIGNATURE_HEADER.lower()]


async def test_a_retry_is_the_same_request_and_one_effect(system: Gateway) -> None:
    channel = sms(system)
    for _ in range(3):
        await channel.send(notice(), NUMBER)
    await channel.close()
    assert 1 == len({one.raw for one in system.seen})
    assert {str(KEY): 1} == dict(system.effects)


async def test_a_suffix_stands_behind_the_key_in_the_header_that_the_gateway_wants(system: Gateway) -> None:
    channel = sms(system, key_header="X-Request-Id")
    await channel.send(notice(), NUMBER, ":two")
    await channel.close()
    assert f"{KEY}:two" == system.seen[0].headers["x-request-id"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"code": "OK"}, Answer("sent")),
        ({"code": 0}, Answer("sent")),
        ({"other": 1}, Answer("sent")),
        ({"code": "BUSY"}, Answer("later", "code_later")),
        ({"code": "MOBILE_NUMBER_ILLEGAL"}, Answer("never", "code_refused")),
        (500, Answer("later", "http_5xx", 7.0)),
        (429, Answer("later", "http_4xx", 7.0)),
        (403, Answer("never", "refused")),
        (None, Answer("later", "timeout")),
    ],
)
async def test_status_and_code_make_the_verdict(system: Gateway, answer: Any, expected: Answer) -> None:
    system.judge = lambda _seen, _nth: answer
    system.headers = {"Retry-After": "7"}
    channel = sms(system, codes_later=["BUSY"])
    assert expected == await channel.send(notice(), NUMBER)
    await channel.close()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b'{"code":"MOBILE', b'_NUMBER_ILLEGAL"}'], Answer("never", "code_refused")),
        ([b"", b'{"code":', b'"BU', b'SY"}'], Answer("later", "code_later")),
        ([codecs.BOM_UTF8 + b'{"code":"LIMIT"}'], Answer("never", "code_refused")),
        ([b'{"code":"OK"'], Answer("later", "unreadable")),
        (['{"code":"OK","message":"提交成功"}'.encode("gb18030")], Answer("sent")),
        (['{"code":"LIMIT","message":"超出限额"}'.encode("gb18030")], Answer("never", "code_refused")),
        (['{"code":"OK","message":"提交'.encode("gb18030")], Answer("later", "unreadable")),
        ([b"accepted"], Answer("sent")),
        ([b""], Answer("sent")),
        ([b" " * 70_000, b'{"code":"LIMIT"}'], Answer("sent")),
    ],
)
async def test_an_answer_is_read_to_its_end_however_it_comes(system: Gateway, pieces: list[bytes], expected: Answer) -> None:
    system.judge = lambda _seen, _nth: pieces
    channel = sms(system, codes_later=["BUSY"])
    answer = await channel.send(notice(), NUMBER)
    await channel.close()
    assert (expected, expected.fault == "unreadable") == (answer, answer.unclear)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("a-1", "a-1"), (42, "42"), ("a\0b", None), ("a b", None), ("", None), ("x" * 201, None), ("号-1", "号-1"), (f"20261128-{NUMBER}-7", None)],
)
async def test_a_gateways_own_number_is_kept_where_a_receipt_could_name_it(system: Gateway, given: object, kept: str | None) -> None:
    system.judge = lambda _seen, _nth: {"code": "OK", "id": given}
    channel = sms(system, id_field="id")
    assert Answer("sent", reference=kept) == await channel.send(notice(), NUMBER)
    await channel.close()


@pytest.mark.parametrize(("header", "seconds"), [("9" * 400, 3600.0), ("1" + "0" * 350, 3600.0), ("Fri, 31 Dec 99999999999 23:59:59 GMT", 0.0), ("-5", 0.0)])
async def test_whatever_a_gateway_wants_to_be_waited_for_it_is_asked_again(system: Gateway, header: str, seconds: float) -> None:
    system.judge = lambda _seen, _nth: 429
    system.headers = {"Retry-After": header}
    channel = sms(system)
    assert Answer("later", "http_4xx", seconds) == await channel.send(notice(), NUMBER)
    await channel.close()


@pytest.mark.parametrize(("code", "expected"), [("BUSY", Answer("later", "code_later")), ("OK", Answer("never", "refused"))])
async def test_a_gateway_that_says_not_now_with_400_is_asked_again(system: Gateway, code: str, expected: Answer) -> None:
    system.status, system.judge = 400, lambda _seen, _nth: {"code": code}
    channel = sms(system, codes_later=["BUSY"])
    assert expected == await channel.send(notice(), NUMBER)
    await channel.close()


async def test_an_invitation_by_text_message_says_what_when_and_how_near(system: Gateway) -> None:
    link = "https://example.org/a#aaaaaaaaaaaaaaaaaaaaaaaaaa"
    about = About("elder_care", "unit", SLOT)
    one = replace(notice(), match_id=None, party="volunteer", kind="invited", slot=None, category=None, rung=None, text="很长" * 80, link=link, about=about)
    channel = sms(system)
    await channel.send(one, NUMBER)
    await channel.close()
    (seen,) = system.seen
    assert {"category": "关爱老人", "near": "同单元", "when": "11月24日（周二）16:00至17:00", "link": link} == seen.body["parameters"]
    assert f"【最后一米】同单元邻居急需「关爱老人」，11月24日（周二）16:00至17:00。您能去吗？答复：{link}" == seen.body["text"]


async def test_a_gateway_that_is_away_is_not_unclear(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/"
    sms_gateway = SmsGateway(*of({"type": "sms", "url": url, "secret_env": "A_SECRET"}))
    for channel in (sms_gateway, Webhook(url, SECRET.encode(), 0.5, 1)):
        answer = await channel.send(notice(), NUMBER)
        await channel.close()
        assert (Answer("later", "no_connection"), False) == (answer, answer.unclear)


async def test_a_gateway_that_takes_no_connection_has_heard_nothing() -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(2):  # nobody accepts them, and there is room for no more
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        channel = Webhook(f"http://127.0.0.1:{full.getsockname()[1]}/", SECRET.encode(), 0.5, 1)
        answer = await channel.send(notice())
        await channel.close()
    assert (Answer("later", "no_connection"), False) == (answer, answer.unclear)


# --- robots of groups


def robot(kind: str, url: str, system: Gateway) -> Bot:
    return Bot(*of({"type": kind, "url_env": "A_URL", "endpoint": system.base, "timeout_seconds": 0.5}, A_URL=url))


ROBOTS = {
    "wecom": ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abc-def", "/cgi-bin/webhook/send", "errcode"),
    "dingtalk": ("dingtalk://secret1@abcdef", "/robot/send", "errcode"),
    "feishu": ("feishu://abcdef", "/open-apis/bot/v2/hook/abcdef", "code"),
}


@pytest.mark.parametrize("kind", ROBOTS)
async def test_a_robot_says_the_text(system: Gateway, kind: str) -> None:
    url, path, field = ROBOTS[kind]
    system.judge = lambda _seen, _nth: {field: 0}
    channel = robot(kind, url, system)
    assert Answer("sent") == await channel.send(notice(), NUMBER)
    await channel.close()
    (seen,) = system.seen
    assert path == seen.path
    assert "您好，约好了。" in seen.raw.decode()
    assert (kind != "feishu") == (NUMBER in seen.raw.decode())


@pytest.mark.parametrize("kind", ROBOTS)
async def test_a_robot_that_refuses_with_200_has_told_nobody(system: Gateway, kind: str) -> None:
    url, _, field = ROBOTS[kind]
    channel = robot(kind, url, system)
    system.judge = lambda _seen, _nth: {field: 300001}
    assert Answer("never", "code_refused") == await channel.send(notice())
    system.judge = lambda _seen, _nth: {field: {"wecom": 45009, "dingtalk": 130101, "feishu": 11232}[kind]}
    assert Answer("later", "code_later") == await channel.send(notice())
    system.judge = lambda _seen, _nth: None
    assert Answer("later", "timeout") == await channel.send(notice())
    await channel.close()


@pytest.mark.parametrize(
    ("kind", "url", "asked"),
    [
        ("wecom", "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abc-def", "/cgi-bin/webhook/send?key=abc-def"),
        ("dingtalk", "https://oapi.dingtalk.com/robot/send?access_token=abc123", "/robot/send?access_token=abc123"),
        ("feishu", "https://open.feishu.cn/open-apis/bot/v2/hook/1234abcd-12ab-34cd", "/open-apis/bot/v2/hook/1234abcd-12ab-34cd"),
    ],
)
async def test_a_robots_own_url_is_taken_as_its_service_shows_it(system: Gateway, kind: str, url: str, asked: str) -> None:
    path, _, query = asked.partition("?")
    system.judge = lambda _seen, _nth: {ROBOTS[kind][2]: 0}
    channel = robot(kind, url, system)
    assert Answer("sent") == await channel.send(notice())
    await channel.close()
    (seen,) = system.seen
    assert (path, dict([query.split("=")] if query else [])) == (seen.path, dict(seen.query))


@pytest.mark.parametrize("page", [b"<html>Please sign in</html>", b"", b"{}", b"[]"])
async def test_where_an_answer_names_no_code_it_was_not_the_robots_service_that_answered(system: Gateway, page: bytes) -> None:
    channel = robot("wecom", ROBOTS["wecom"][0], system)
    system.judge = lambda _seen, _nth: [page]
    assert Answer("later", "unreadable") == await channel.send(notice())
    await channel.close()


async def test_feishus_robot_names_its_code_in_either_of_two_ways(system: Gateway) -> None:
    channel = robot("feishu", ROBOTS["feishu"][0], system)
    system.judge = lambda _seen, _nth: {"StatusCode": 0, "StatusMessage": "success"}
    assert Answer("sent") == await channel.send(notice())
    system.judge = lambda _seen, _nth: {"code": 19001, "StatusCode": 0}
    assert Answer("never", "code_refused") == await channel.send(notice())
    await channel.close()


async def test_dingtalks_robot_is_signed(system: Gateway) -> None:
    system.judge = lambda _seen, _nth: {"errcode": 0}
    channel = robot("dingtalk", ROBOTS["dingtalk"][0], system)
    await channel.send(notice())
    await channel.close()
    query = system.seen[0].query
    wanted = hmac.new(b"secret1", f"{query['timestamp']}\nsecret1".encode(), hashlib.sha256).digest()
    assert ("abcdef", base64.b64encode(wanted).decode()) == (query["access_token"], query["sign"])


# --- apprise


def apprised(system: Gateway, url: str, **more: Any) -> Apprised:
    secret = url.format(host=system.base.removeprefix("http://"), to="{to}")
    return Apprised(*of({"type": "apprise", "url_env": "A_URL", "timeout_seconds": 0.6, "sign": "最后一米"} | more, A_URL=secret))


async def test_an_sms_plugin_of_apprise_sends_to_the_persons_number(system: Gateway) -> None:
    system.judge = lambda _seen, _nth: {"result": {"status": "ok", "message_id": "1"}}
    channel = apprised(system, "smseagle://token@{host}/{to}")
    assert channel.way.needs_address
    assert "sent" == (await channel.send(notice(), NUMBER)).verdict
    assert NUMBER in system.seen[0].raw.decode()
    assert "【最后一米】您好，约好了。" == system.seen[0].body["params"]["message"]


@pytest.mark.parametrize("status", [500, 403])
async def test_a_failure_of_which_apprise_says_nothing_is_unclear(system: Gateway, status: int) -> None:
    system.judge = lambda _seen, _nth: status
    answer = await apprised(system, "json://{host}/").send(notice())
    assert (Answer("later", "unsent"), True) == (answer, answer.unclear)


async def test_behind_a_redirect_nobody_was_told(system: Gateway) -> None:
    system.judge = lambda seen, _nth: 200 if seen.path == "/sign-in" else 307
    system.headers = {"Location": "/sign-in"}
    answer = await apprised(system, "json://{host}/messages/{to}").send(notice(), NUMBER)
    assert (["/messages/" + NUMBER], Answer("later", "unsent")) == ([seen.path for seen in system.seen], answer)


async def test_a_service_that_hangs_holds_up_neither_the_loop_nor_the_channel_beyond_its_limits(system: Gateway) -> None:
    system.judge = lambda _seen, _nth: None
    channel = apprised(system, "json://{host}/", concurrency=2)
    attempts = [asyncio.create_task(channel.send(notice())) for _ in range(2)]
    longest, before = 0.0, time.monotonic()
    while not all(one.done() for one in attempts):
        await asyncio.sleep(0.01)
        longest, before = max(longest, time.monotonic() - before), time.monotonic()
    # Two hands are taken still: a third is told so at once.
    assert {"timeout"} == {one.result().fault for one in attempts} - {"unsent"} | {"timeout"}
    assert longest < 0.5
    system.release.set()


async def test_more_attempts_than_hands_are_put_off(system: Gateway) -> None:
    system.judge = lambda _seen, _nth: None
    channel = apprised(system, "json://{host}/", concurrency=1)
    first = asyncio.create_task(channel.send(notice()))
    await asyncio.sleep(0)
    assert Answer("later", "busy") == await channel.send(notice())
    assert "later" == (await first).verdict


async def test_apprise_writes_no_numbers_into_logs(system: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    system.judge = lambda _seen, _nth: 500
    channel = apprised(system, "smseagle://token@{host}/{to}")
    await channel.send(notice(), NUMBER)
    assert 1 == len(system.seen)
    assert NUMBER not in caplog.text
    assert "Answer('never', 'bad_address')" != repr(await channel.send(notice(), "nobody"))


# --- e-mail


def mail(mailbox: Mailbox, **more: Any) -> Mail:
    section = {"type": "email", "host": "127.0.0.1", "port": mailbox.port, "sender": "notices@example.org", "timeout_seconds": 1.0}
    if mailbox.certificate is not None:
        section["ca_file"] = str(mailbox.certificate)
    return Mail(*of(section | more))


LOGIN = {"user_env": "A_USER", "password_env": "A_PASSWORD"}


async def test_a_mail_goes_over_starttls_after_login(tmp_path: Path) -> None:
    async with mail_server(tmp_path, login=True) as mailbox:
        assert Answer("sent") == await mail(mailbox, **LOGIN).send(notice(), "someone@example.org")
    (found,) = mailbox.mails
    assert [True] == mailbox.secured
    assert f"<{KEY}@example.org>" == found["Message-ID"]
    assert ("邻里互助：已约好", "someone@example.org", "zh-CN") == (found["Subject"], found["To"], found["Content-Language"])
    assert "您好，约好了。" == found.get_content().strip()


async def test_a_mail_goes_over_tls(tmp_path: Path) -> None:
    async with mail_server(tmp_path, security="tls") as mailbox:
        assert Answer("sent") == await mail(mailbox, security="tls").send(notice(language="en"), "someone@example.org")
    assert "Help among neighbours: it is settled" == mailbox.mails[0]["Subject"]


async def test_a_subject_says_nothing_about_anybody(tmp_path: Path) -> None:
    async with mail_server(tmp_path) as mailbox:
        for kind in ("confirmed", "released", "expired", "asked", "invited", "something_new"):
            one = notice()
            one.kind = kind  # type: ignore[assignment]
            await mail(mailbox).send(one, "someone@example.org")
    subjects = [str(one["Subject"]) for one in mailbox.mails]
    assert 6 == len(subjects)
    assert [None] * 6 == [find_personal_data(one) for one in subjects]


async def test_greylisting_is_later_and_the_retry_is_the_same_message(tmp_path: Path) -> None:
    async with mail_server(tmp_path) as mailbox:
        mailbox.on_rcpt = lambda nth: "451 4.7.1 greylisted" if nth == 1 else None
        mailbox.on_data = lambda nth: "451 try again" if nth == 1 else None
        answers = [await mail(mailbox).send(notice(), "someone@example.org") for _ in range(4)]
    assert [Answer("later", "smtp_later")] * 2 + [Answer("sent")] * 2 == answers
    assert {f"<{KEY}@example.org>"} == {one["Message-ID"] for one in mailbox.mails}


@pytest.mark.parametrize("words", ["and so it goes", "252 perhaps"])
async def test_words_that_smtp_does_not_have_leave_it_unclear_whether_the_mail_is_there(tmp_path: Path, words: str) -> None:
    async with mail_server(tmp_path) as mailbox:
        mailbox.on_data = lambda _nth: words
        answer = await mail(mailbox).send(notice(), "someone@example.org")
    assert (Answer("later", "unreadable"), True) == (answer, answer.unclear)


async def test_a_second_channel_of_one_system_is_another_message(tmp_path: Path) -> None:
    async with mail_server(tmp_path) as mailbox:
        await mail(mailbox).send(notice(), "someone@example.org", ":post")
    assert f"<{KEY}.post@example.org>" == mailbox.mails[0]["Message-ID"]


@pytest.mark.parametrize("place", ["on_rcpt", "on_data"])
async def test_a_mail_that_is_refused_is_never(tmp_path: Path, place: str) -> None:
    async with mail_server(tmp_path) as mailbox:
        setattr(mailbox, place, lambda _nth: "550 no such user")
        assert Answer("never", "refused") == await mail(mailbox).send(notice(), "someone@example.org")


@pytest.mark.parametrize("address", ["a@example.org\nBcc: b@example.org", "", "无名@例子", "a,b@example.org", "a@x.org, b@x.org", "a b@x.org"])
async def test_an_address_that_cannot_stand_in_a_mail_is_never(tmp_path: Path, address: str) -> None:
    async with mail_server(tmp_path) as mailbox:
        assert "never" == (await mail(mailbox).send(notice(), address)).verdict
    assert [] == mailbox.mails


async def test_a_wrong_password_is_not_the_notices_fault(tmp_path: Path) -> None:
    async with mail_server(tmp_path, login=True) as mailbox:
        wrong = mail(mailbox, user_env="A_USER", password_env="A_SECRET")
        assert Answer("later", "smtp_login") == await wrong.send(notice(), "someone@example.org")


async def test_nothing_goes_out_in_plain_text_where_starttls_is_asked_for(tmp_path: Path) -> None:
    async with mail_server(tmp_path, security="none") as mailbox:
        answer = await mail(mailbox).send(notice(), "someone@example.org")
        assert ("later", False) == (answer.verdict, answer.unclear)
        assert Answer("sent") == await mail(mailbox, security="none").send(notice(), "someone@example.org")
    assert 1 == len(mailbox.mails)


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    async with mail_server(tmp_path) as mailbox:
        mailbox.certificate = None
        answer = await mail(mailbox).send(notice(), "someone@example.org")
    assert ("later", False) == (answer.verdict, answer.unclear)
    assert [] == mailbox.mails


async def test_a_server_that_hangs_is_unclear_and_one_that_is_away_is_not(tmp_path: Path, unused_tcp_port: int) -> None:
    async with mail_server(tmp_path) as mailbox:
        mailbox.hangs = True
        hung = await mail(mailbox, timeout_seconds=0.5).send(notice(), "someone@example.org")
        away = await mail(mailbox, port=unused_tcp_port).send(notice(), "someone@example.org")
    assert (("timeout", True), ("no_connection", False)) == ((hung.fault, hung.unclear), (away.fault, away.unclear))


@pytest.mark.parametrize("greeting", [b"", b"220 here\r\n"])
async def test_a_server_that_lets_everybody_wait_before_the_mail_has_heard_nothing(greeting: bytes) -> None:
    gone = asyncio.Event()

    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()  # whatever is said, until the other side lets go
        writer.close()
        gone.set()

    server = await asyncio.start_server(greets, "127.0.0.1", 0)
    answer = await mail(Mailbox(server.sockets[0].getsockname()[1]), security="none", timeout_seconds=0.1).send(notice(), "someone@example.org")
    async with asyncio.timeout(5):
        await gone.wait()
    server.close()
    assert (Answer("later", "no_connection"), False) == (answer, answer.unclear)


async def test_a_name_server_that_hangs_is_asked_once_for_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def hangs(host: str, _port: int) -> None:
        asked.append(host)
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hangs)
    channel = mail(Mailbox(587), host="mail.example.org", timeout_seconds=0.1)
    answers = await asyncio.gather(*(channel.send(notice(), "someone@example.org") for _ in range(8)))
    await channel.close()
    assert ([Answer("later", "no_connection")] * 8, ["mail.example.org"]) == (answers, asked)


async def test_a_server_that_has_the_mail_and_does_not_let_go_has_the_mail(tmp_path: Path) -> None:
    async with mail_server(tmp_path) as mailbox:
        mailbox.stays = True
        assert Answer("sent") == await mail(mailbox, timeout_seconds=3.0).send(notice(), "someone@example.org")
        assert Answer("sent") == await mail(mailbox, timeout_seconds=0.5).send(notice(), "someone@example.org")
    assert 2 == len(mailbox.mails)


# --- the app


async def test_the_app_has_one_row_a_key_until_somebody_reads_it(database: Database) -> None:
    store = await Store.connect(database.dsn("notifier"))
    channel = AppInbox(*of({"type": "app"}), store)
    first, second = await channel.send(notice()), await channel.send(notice())
    assert ["placed", "placed"] == [first.verdict, second.verdict]
    assert first.placed_seconds < second.placed_seconds
    assert [("r-1", "confirmed", "您好，约好了。", None)] == await ask(database.dsn(), "SELECT ref, kind, text, read_at FROM notifying.app_inbox")
    await ask(database.dsn(), "UPDATE notifying.app_inbox SET read_at = clock_timestamp()")
    assert Answer("sent") == await channel.send(notice())
    widened = Notice(uuid4(), None, "w-1", 2, "hightech", "worker", "widened", "desk-hightech", "en", text_for_worker("widened", "en", wish_id="w-1"), None)
    await channel.send(widened)
    texts = [orjson.loads(text) for (text,) in await ask(database.dsn(), "SELECT texts::text FROM notifying.app_inbox ORDER BY at")]
    assert [{"zh-CN": "您好，约好了。"}, in_each(widened)] == texts, "in each language in which it can be said"
    await store.close()
