"""The door's pure parts: where a webhook may go, how it is signed, what a callback's signature proves, and that each reason has its words."""

from __future__ import annotations

import base64
import hmac
import json
from hashlib import sha256

import pytest

from schemas import shapes
from schemas.errors import InvalidEvent
from schemas.registry import PREFIX, TOPIC_OF
from services.gateway.door import addresses, answers, catalogue, examples, intake, keys, positions, signing
from services.gateway.door.answers import Refused
from services.gateway.identity.model import new_api_key
from services.gateway.routes.receipts import is_signed, read


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example/hook",
        "https://127.0.0.1/hook",
        "https://127.1/hook",
        "https://2130706433/hook",
        "https://0x7f000001/hook",
        "https://0x7f.0.0.1/hook",
        "https://10.0.0.8/hook",
        "https://169.254.169.254/latest",
        "https://[::1]/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://[64:ff9b::a00:1]/hook",
        "https://[fd00::1]/hook",
        "https://[fec0::1]/hook",
        "https://localhost/hook",
        "https://app.localhost/hook",
        "https://database.internal/hook",
        "https://postgres/hook",
        "https://user:secret@app.example/hook",
        "https://app.example/hook#part",
        "https://app.example:port/hook",
        "https:///hook",
        "ftp://app.example/hook",
        "https://app.example/a b",
    ],
)
def test_refuses_addresses_that_are_not_on_the_public_internet(url: str) -> None:
    with pytest.raises(Refused) as refusal:
        addresses.see_url(url, private=False)

    assert ("bad_address", "url") == (refusal.value.code, refusal.value.field)


@pytest.mark.parametrize("url", ["https://app.example/hook", "https://8.8.8.8/hook", "https://[2001:4860:4860::8888]:8443/hook?for=us"])
def test_takes_addresses_of_the_public_internet(url: str) -> None:
    addresses.see_url(url, private=False)


async def test_refuses_a_name_that_leads_to_an_inner_address_when_the_connection_is_opened() -> None:
    resolver = addresses.PublicResolver()
    with pytest.raises(addresses.NotPublic):
        await resolver.resolve("localhost", 443)
    await resolver.close()


def test_signs_as_the_specification_of_standard_webhooks_has_it() -> None:
    """The example of the specification's own libraries."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'

    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == signing.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)


def test_every_version_of_a_webhooks_secret_is_another_and_none_gives_away_our_own() -> None:
    own = b"a secret of the gateway's own"
    found = {signing.secret_of(own, webhook, version) for webhook in ("wh1", "wh2") for version in (1, 2)}

    assert 4 == len(found)
    assert {32} == {len(base64.b64decode(secret.removeprefix("whsec_"))) for secret in found}


@pytest.mark.parametrize(
    ("timestamp", "body", "now", "expected"),
    [("1000", b"{}", 1000, True), ("1000", b"{ }", 1000, False), ("1000", b"{}", 1301, False), ("1001", b"{}", 1000, False), ("", b"{}", 1000, False)],
    ids=["good", "another body", "too old", "another time", "none"],
)
def test_takes_a_receipt_only_with_the_channels_signature_of_these_minutes(timestamp: str, body: bytes, now: float, expected: bool) -> None:
    signature = hmac.new(b"secret", b"1000.{}", sha256).hexdigest()

    assert expected is is_signed(b"secret", timestamp, body, signature, now)


WISH = json.dumps(examples.structured("wish.submitted.v1")).encode()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "application/xml", "application/jsonx"])
def test_an_event_that_its_sender_calls_something_else_than_json_is_told_which_type_to_send(kind: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        intake.read([(b"content-type", kind.encode())], WISH)
    assert (415, "content-type") == (answers.status_of(refused.value), refused.value.field)
    assert "send application/cloudevents+json" in str(refused.value)


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON ; charset=utf-8", "text/json", "application/vnd.acme+json", "application/cloudevents+json", ""]
)
def test_an_event_that_is_called_json_or_nothing_is_read(kind: str) -> None:
    assert "lastmetre.wish.submitted.v1" == intake.read([(b"content-type", kind.encode())] if kind else [], WISH).type


@pytest.mark.parametrize(("written", "read"), [(b'"w 1"', "w 1"), (b'"a \\"b\\" %E4%B8%AD"', 'a "b" 中'), (b'"', '"'), (b'a"b"', 'a"b"'), (b'""', None)])
def test_a_header_between_quotes_is_read_without_them_as_the_binding_says(written: bytes, read: str | None) -> None:
    event = examples.structured("wish.submitted.v1")
    headers = [(f"ce-{name}".encode(), str(value).encode()) for name, value in event.items() if name not in {"data", "subject"}]
    asked = [(b"content-type", b"application/json"), (b"ce-subject", written), *headers]
    if read is None:
        with pytest.raises(InvalidEvent, match="subject"):
            intake.read(asked, json.dumps(event["data"]).encode())
    else:
        assert read == intake.read(asked, json.dumps(event["data"]).encode()).subject


def test_a_batch_is_told_by_its_whole_content_type() -> None:
    told = [b"application/cloudevents-batch+json", b"Application/CloudEvents-Batch+JSON; charset=utf-8", b"application/cloudevents-batch+jsonx"]
    assert [True, True, False] == [intake.is_batch([(b"content-type", kind)]) for kind in told]


RECEIPT = {"reference": "n-1", "status": "failed", "at": "2026-11-25T08:00:00Z"}


@pytest.mark.parametrize(
    ("body", "field", "zh", "en"),
    [
        (RECEIPT | {"status": "DELIVRD"}, "status", "应为下列之一：delivered, failed, read", "send one of delivered, failed, read"),
        ({"reference": "n-1", "status": "read"}, "at", "缺少，请补上", "it is missing, add it"),
        (RECEIPT | {"at": "2026-11-25T08:00:00"}, "at", *shapes.INSTANT_WORDS),
        (RECEIPT | {"at": "just now"}, "at", *shapes.INSTANT_WORDS),
        (RECEIPT | {"at": 1764057600}, "at", *shapes.INSTANT_WORDS),
        (RECEIPT | {"at": "20261125080000"}, "at", *shapes.INSTANT_WORDS),
        (RECEIPT | {"at": "1969-12-31T23:59:59Z"}, "at", *shapes.INSTANT_WORDS),
        (RECEIPT | {"at": "9001-01-01T00:00:00Z"}, "at", *shapes.INSTANT_WORDS),
        (RECEIPT | {"fault": "空号"}, "fault", "只用 1 至 40 个小写字母、数字或下划线", "use 1 to 40 of a-z, 0-9 and _"),
        (RECEIPT | {"reference": "n" * 201}, "reference", "至多 200 个字符", "send at most 200 characters"),
        (RECEIPT | {"reference": "13800138000"}, "reference", "不能是电话", "no phone or identity-card number"),
        (RECEIPT | {"reference": "20261128-13800138000:7"}, "reference", "不能是电话", "no phone or identity-card number"),
        (RECEIPT | {"operator": "x"}, "operator", "契约中没有此字段，请删去", "the contract has no such field: remove it"),
        ([RECEIPT], "body", "应为一个 JSON 对象", "send one JSON object"),
    ],
)
def test_a_receipt_that_is_not_valid_is_answered_with_the_field_and_the_fix(body: object, field: str, zh: str, en: str) -> None:
    with pytest.raises(Refused) as refusal:
        read(json.dumps(body).encode())

    told = refusal.value
    assert ("bad_value", field, True, True) == (told.code, told.field, zh in told.zh, en in told.en), told.body


def test_a_receipt_is_answered_without_a_number_that_stood_where_a_name_belongs() -> None:
    with pytest.raises(Refused) as refusal:
        read(json.dumps(RECEIPT | {"13800138000": "x"}).encode())

    assert "13800138000" not in str(refusal.value.body)


def test_a_position_comes_back_as_it_was_given_out_and_no_other_is_taken() -> None:
    text = positions.written("matches", "gaoxin", 17)

    assert 17 == positions.offset_of(text, "matches", "gaoxin")
    for bad in ("", "?", text[:-3], base64.urlsafe_b64encode(b"matches:0:-1").decode(), "é"):
        with pytest.raises(Refused, match="position"):
            positions.offset_of(bad, "matches", "gaoxin")
    with pytest.raises(Refused, match="position"):
        positions.offset_of(text, "confirmations", "gaoxin")


def test_finds_the_id_of_a_key_in_the_header_that_carries_it() -> None:
    made = new_api_key()
    key_id, key = made.key_id, made.key

    assert key_id == keys.key_id_of(f"Bearer {key}")
    assert key_id == keys.key_id_of(f"bearer {key}")
    assert [None, None, None] == [keys.key_id_of(other) for other in (None, "Bearer eyJ.a.b", key)]


def test_every_code_of_the_door_has_words_in_both_languages() -> None:
    for code in answers.CODES:
        refused = Refused(code, "data.area")
        assert any("\u4e00" <= letter <= "\u9fff" for letter in refused.zh), code
        assert refused.en.isascii(), code
        assert 400 <= refused.status < 600, code


def test_the_catalogue_names_every_type_in_chinese() -> None:
    assert {kind.removeprefix(PREFIX) for kind in TOPIC_OF} == set(catalogue.CHINESE)
    assert {kind.name for channel in catalogue.channels() for kind in channel.kinds} == set(TOPIC_OF)


@pytest.mark.parametrize("code", ["batch_too_large", "too_many", "too_many_waiting", "switched_off"])
def test_a_limit_is_told_in_the_sentence_and_is_no_field(code: str) -> None:
    refused = Refused(code, "2000")

    assert "2000" in refused.en
    assert "field" not in refused.body
    assert "data.area" == Refused("out_of_scope", "data.area").body["field"]


def test_another_format_than_json_is_415_in_binary_mode_too() -> None:
    headers = [(b"ce-specversion", b"1.0"), (b"content-type", b"application/xml")]
    headers += [(f"ce-{name}".encode(), b"x") for name in ("id", "source", "subject", "partitionkey")]
    headers += [(b"ce-type", b"lastmetre.wish.submitted.v1"), (b"ce-time", b"2026-11-26T08:00:00Z")]

    with pytest.raises(InvalidEvent) as fault:
        intake.read(headers, b"<wish/>")

    assert 415 == answers.status_of(fault.value)
