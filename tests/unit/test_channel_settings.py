"""The named channels and the directory: what is wrong is named with its fix in both languages, and no value is ever shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import SecretStr

from deploy.state import ROOT
from services.notifier.apprised import Unusable
from services.notifier.channel_settings import channels_of
from services.notifier.directory import BadDirectory, FileDirectory, Person, Sought
from services.notifier.settings import Settings
from services.runtime import BadSettings, load_settings

HIDDEN = "hidden-word-of-length"
SECRETS = {"A_SECRET": HIDDEN, "A_URL": f"https://example.org/{HIDDEN}", "A_USER": "u", "A_PASSWORD": HIDDEN}
SMS = {"type": "sms", "url": "https://example.org/send", "secret_env": "A_SECRET"}
APPRISED = '{"any": {"type": "apprise", "url_env": "A_URL"}}'
EMAIL = {"type": "email", "host": "mail.example.org", "sender": "a@example.org"}


def complaint(section: dict[str, Any], name: str = "one") -> str:
    with pytest.raises(ValueError) as refused:
        channels_of(json.dumps({name: section}), SECRETS)
    assert HIDDEN not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    "section",
    [
        {"type": "console"},
        {"type": "app"},
        {"type": "webhook", "url_env": "A_URL", "secret_env": "A_SECRET"},
        SMS,
        SMS | {"url": "http://127.0.0.1:9/send", "templates": {"default": "1"}},
        {"type": "apprise", "url_env": "A_URL"},
        {"type": "wecom", "url_env": "A_URL"},
        EMAIL,
        EMAIL | {"security": "none", "host": "127.0.0.1"},
        EMAIL | {"user_env": "A_USER", "password_env": "A_PASSWORD"},
    ],
)
def test_takes_each_type(section: dict[str, Any]) -> None:
    assert ["one"] == list(channels_of(json.dumps({"one": section}), SECRETS))


@pytest.mark.parametrize(
    ("section", "chinese", "english"),
    [
        ({}, "type 不合规", "channel one: type is not valid"),
        ({"type": "pigeon"}, "type 不合规", "use one of console, app"),
        (SMS | {"secret": "x"}, "不认识 secret", "secret is not known: use"),
        (SMS | {"url": "http://example.org/"}, "url 不合规", "url is not valid: use an https URL"),
        (SMS | {"url": f"https://me:{HIDDEN}@example.org/"}, "url 不合规", "url is not valid"),
        (SMS | {"url": "https://example.org:99999/"}, "url 不合规", "url is not valid"),
        (SMS | {"url": "https://sms..example.org/"}, "url 不合规", "url is not valid"),
        ({"type": "sms", "secret_env": "A_SECRET"}, "恰填其一", "give either url or url_env"),
        ({"type": "sms", "url": "https://example.org/"}, "缺少 secret_env", "secret_env is missing"),
        (SMS | {"secret_env": "GONE"}, "缺少环境变量 GONE", "environment variable GONE is missing"),
        (SMS | {"secret_env": "A_USER"}, "至少 16 个字符", "at least 16 characters"),
        (SMS | {"timeout_seconds": 0}, "timeout_seconds 不合规", "use 0 to 60 seconds"),
        (EMAIL | {"security": "none"}, "security 不合规", "security is not valid"),
        (EMAIL | {"user_env": "A_USER"}, "须一并填写", "user_env and password_env together"),
        (EMAIL | {"sender": HIDDEN}, "sender 不合规", "sender is not valid"),
        (EMAIL | {"ca_file": "/no/such/file"}, "ca_file 不合规", "ca_file is not valid"),
        (EMAIL | {"ca_file": __file__}, "ca_file 不合规", "ca_file is not valid"),
    ],
)
def test_names_the_channel_the_field_and_the_fix(section: dict[str, Any], chinese: str, english: str) -> None:
    said = complaint(section)
    assert chinese in said
    assert english in said
    assert "one" in said or "A_USER" in said


def test_a_name_is_what_an_event_can_carry() -> None:
    assert "use 1 to 32 of a-z, 0-9 and _" in complaint({"type": "console"}, "My-Channel")


@pytest.mark.parametrize("text", ["/no/such/file.toml", "{not json", "[1]"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="LASTMETRE_CHANNELS"):
        channels_of(text, {})


@pytest.mark.parametrize(("text", "said"), [("[one\n", "at line 1"), ("[one]\ntype = 'pigeon'\n", "channel one: type is not valid")])
def test_what_is_wrong_in_a_file_is_told_with_the_file(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "channels.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said) as refused:
        channels_of(str(file), {})
    for half in str(refused.value).split(" | "):
        assert str(file) in half


def test_reads_toml(tmp_path: Path) -> None:
    file = tmp_path / "channels.toml"
    file.write_text('[post]\ntype = "email"\nhost = "mail.example.org"\nsender = "a@example.org"\n', encoding="utf-8")
    assert ["post"] == list(channels_of(str(file), {}))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("LASTMETRE_KAFKA", "127.0.0.1:9092")
    monkeypatch.setenv("LASTMETRE_DATABASE", "postgresql://lastmetre_notifier@127.0.0.1/lastmetre")
    return monkeypatch


def test_the_settings_tell_what_is_wrong_with_a_channel(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LASTMETRE_CHANNELS", json.dumps({"text": SMS | {"secret_env": "GONE"}, "post": {"type": "email"}}))
    with pytest.raises(BadSettings) as refused:
        load_settings(Settings)
    assert "environment variable GONE is missing" in str(refused.value)
    assert "channel post: host is missing" in str(refused.value)


def test_one_variable_alone_means_what_it_meant(environment: pytest.MonkeyPatch) -> None:
    assert None is load_settings(Settings).webhook
    environment.setenv("LASTMETRE_CHANNEL", "https://example.org/hook")
    environment.setenv("LASTMETRE_WEBHOOK_SECRET", HIDDEN)
    assert "https://example.org/hook" == load_settings(Settings).webhook


def test_the_usual_channel_may_be_one_of_the_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LASTMETRE_CHANNELS", json.dumps({"desk": {"type": "app"}}))
    environment.setenv("LASTMETRE_CHANNEL", "desk")
    assert None is load_settings(Settings).webhook
    environment.setenv("LASTMETRE_CHANNEL", "desks")
    with pytest.raises(BadSettings, match="the name of a channel"):
        load_settings(Settings)


def test_a_setting_never_shows_what_the_channels_hold(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LASTMETRE_CHANNELS", json.dumps({"one": {"type": "webhook", "url": f"https://example.org/{HIDDEN}", "secret_env": "A_SECRET"}}))
    environment.setenv("A_SECRET", HIDDEN)
    assert HIDDEN not in repr(load_settings(Settings))


@pytest.mark.parametrize(
    ("more", "english"),
    [
        ({"LASTMETRE_DIRECTORY": "/no/such/file"}, "the directory is not a TOML file that can be read"),
        (
            {"LASTMETRE_CHANNEL": "any", "LASTMETRE_CHANNELS": '{"any": {"type": "apprise", "url_env": "A_URL"}}', "A_URL": f"no://{HIDDEN}"},
            "channel any needs a URL",
        ),
        ({"LASTMETRE_CHANNELS": '{"any": {"type": "mail"}}'}, "channel any: type is not valid"),
    ],
)
def test_the_service_says_what_is_wrong_and_exits_2(environment: pytest.MonkeyPatch, more: dict[str, str], english: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.notifier"], cwd=ROOT, env={**os.environ, **more}, capture_output=True, text=True, timeout=60, check=False
    )
    assert 2 == done.returncode
    assert english in done.stderr
    assert HIDDEN not in done.stderr + done.stdout


async def test_a_robots_url_of_another_kind_is_refused_without_being_shown() -> None:
    from services.notifier.bots import Bot
    from services.notifier.channel_settings import BotChannel, Named

    config = BotChannel(type="wecom", url_env="A_URL")
    with pytest.raises(Unusable) as refused:
        Bot(Named("group", config, {"url": SecretStr(f"dingtalk://{HIDDEN.replace('-', '')}")}), config)
    assert "channel group needs the URL of a wecom robot" in str(refused.value)
    assert HIDDEN.replace("-", "") not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("dingtalk", "https://oapi.dingtalk.com/robot/send"),
        ("dingtalk", "https://oapi.dingtalk.com/robot/send?access_token=a&access_token=b"),
        ("dingtalk", "https://oapi.dingtalk.com/robot/send?access_token=a/b"),
        ("feishu", "https://open.feishu.cn/open-apis/bot/v2/hook/a/b"),
        ("dingtalk", "https://open.feishu.cn/open-apis/bot/v2/hook/abc"),
        ("feishu", "https://open.feishu.cn/open-apis/bot/v2/hook/"),
        ("feishu", "https://open.feishu.cn.example.org/open-apis/bot/v2/hook/abc"),
        ("wecom", "https://[oapi.dingtalk.com/robot/send?access_token=abc"),
    ],
)
async def test_half_of_a_robots_own_url_is_refused(kind: Literal["dingtalk", "feishu", "wecom"], url: str) -> None:
    from services.notifier.bots import Bot
    from services.notifier.channel_settings import BotChannel, Named

    with pytest.raises(Unusable):
        Bot(Named("group", config := BotChannel(type=kind, url_env="A_URL"), {"url": SecretStr(url)}), config)


# --- the directory


def directory(tmp_path: Path, text: str) -> FileDirectory:
    file = tmp_path / "people.toml"
    file.write_text(text, encoding="utf-8")
    return FileDirectory.read(file, ("sms", "email"), "email")


async def test_a_person_has_their_own_wishes_before_the_default(tmp_path: Path) -> None:
    found = directory(
        tmp_path,
        '[default]\nquiet = "22:00-07:00"\n[people."r-1"]\nchannels = ["sms"]\nlanguage = "en"\nbudget = 3\naddresses = { sms = "13812345678" }\n',
    )
    known, unknown = await found.find([Sought("r-1"), Sought("r-2")])
    assert isinstance(known, Person)
    assert isinstance(unknown, Person)
    assert (("sms",), "en", 3, "13812345678") == (known.wants.channels, known.wants.language, known.wants.budget, known.addresses["sms"])
    assert (("email",), None, None) == (unknown.wants.channels, unknown.wants.language, unknown.wants.budget)
    assert known.wants.quiet == unknown.wants.quiet is not None
    assert "13812345678" not in repr(known)


async def test_a_directory_is_read_as_editors_on_windows_write_it_and_else_the_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "people.toml"
    file.write_bytes(b"\xef\xbb\xbf[people.'r-1']\r\nlanguage = 'en'\r\n")
    (found,) = await FileDirectory.read(file, ("sms",), "sms").find([Sought("r-1")])
    assert isinstance(found, Person)
    assert "en" == found.wants.language
    file.write_bytes("[default]\n[people.'张']\n".encode("gb18030"))
    with pytest.raises(BadDirectory, match="line 2: not UTF-8: save the file as UTF-8"):
        FileDirectory.read(file, ("sms",), "sms")
    with pytest.raises(BadDirectory, match=r"can be read \(No such file"):
        FileDirectory.read(tmp_path / "nobody.toml", ("sms",), "sms")


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("[default]\nquiet = '25:00-07:00'", "default: quiet is not valid: use local times"),
        ("[people.'r-1']\naddresses = { sms = 13812345678 }", "r-1: addresses is not valid"),
        ("[people.'r-1']\nphone = '13812345678'", "r-1: phone is not valid: use only"),
        ("[people.'r-1']\nchannels = ['pigeon']", "no such channel as pigeon: there are sms, email"),
        ("[others]", "take them out"),
        ("nonsense", "not a TOML file"),
        ("[people.'r-1']\nbudget = 1\n[people.'r-1']\nbudget = 2", "line 3: not a TOML file that can be read: see whether somebody is there twice"),
        ("[people.'r-1']\naddresses = { sms = '13812345678' }\nchannels = ['sm", "line 3: not a TOML file"),
        ("[people]\nr-1 = '13812345678'", "r-1: not a table: write it as [people.REF]"),
        ("[people.13812345678]\nlanguage = 'fr'", "directory, ***********: language is not valid"),
        ("[people.'r-1']\naddresses = { '13812345678' = 'sms' }", "r-1: no such channel as ***********"),
    ],
)
def test_what_is_wrong_in_the_directory_is_named_without_an_address(tmp_path: Path, text: str, english: str) -> None:
    with pytest.raises(BadDirectory) as refused:
        directory(tmp_path, text)
    assert english in str(refused.value)
    assert "13812345678" not in str(refused.value)
    for half in str(refused.value).split(" | "):
        assert half.startswith(str(tmp_path))
