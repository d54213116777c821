"""`notices preview`: every text that people may get, as each channel carries it, with what a text message costs.

It shows samples of our own making, needs no running system, and is how a text is read before somebody gets it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, get_args
from uuid import UUID

import typer

from deploy.words import Trouble

SIGN: Final = "最后一米"
# The longest of what may come: past midnight, in September, the longest words.
SLOT: Final = ("2026-09-23T15:45:00Z", "2026-09-23T17:15:00Z")
CHANNELS: Final = ("console", "app", "sms", "wecom", "dingtalk", "feishu", "email", "webhook")
# Twenty-six characters, as every code has.
CODE: Final = "abcdefghijklmnopqrstuvwxyz"
# Channels that reach one person carry that person's link.
PRIVATE: Final = frozenset(("sms", "email", "webhook"))
CATEGORY, RUNG = "disability_help", "community"
Lang = Literal["zh-CN", "en"]


@dataclass(frozen=True, slots=True)
class Shown:
    """One text through one channel."""

    kind: str
    party: str
    reason: str | None
    language: Lang
    channel: str
    subject: str | None
    text: str

    @property
    def title(self) -> str:
        """What it is."""
        about = f"{self.kind} · {self.party}" + (f" · {self.reason}" if self.reason else "")
        return f"{about} · {self.language} · {self.channel}"

    @property
    def length(self) -> str:
        """How long it is: a text message also in segments of 70."""
        from services.notifier.sms import segments_of

        count = f"{len(self.text)} 字符 · characters"
        return f"{count}, {segments_of(self.text)} 段 · segments" if self.channel == "sms" else count


def samples(
    *, kind: str | None = None, party: str | None = None, language: str | None = None, channel: str | None = None, public_url: str | None = None
) -> Iterator[Shown]:
    """Every text through every channel, those that are asked for; with `public_url` as they go out where notices carry links."""
    from services.links.settings import link_url
    from services.notifier.book import Notice
    from services.notifier.linking import PURPOSES
    from services.notifier.mail import subject_of
    from services.notifier.notices import templates, visit_time, with_link, words_of
    from services.notifier.short import sms_text

    for lang in get_args(Lang):
        if language not in {None, lang}:
            continue
        words = words_of(lang, category=CATEGORY, rung=RUNG, slot=SLOT)
        usual = {"by": visit_time(*SLOT, lang).split("至" if lang == "zh-CN" else ", from ")[0], "wish_id": "w-20260923-001"}
        for place, template in templates(lang).items():
            if kind not in {None, place[0]} or party not in {None, place[1]}:
                continue
            reason = place[2] if len(place) > 2 else None
            text = template.format_map(_Filled(words | usual))
            people: Any = place[:2]
            notice = Notice(UUID(int=0), "m", "w", 0, "a", people[1], people[0], "r", lang, text, SLOT, category=CATEGORY, rung=RUNG, reason=reason)
            for name in CHANNELS:
                if channel in {None, name}:
                    carried = notice
                    if public_url is not None and name in PRIVATE and place[:2] in PURPOSES:
                        link = link_url(public_url, CODE)
                        carried = replace(notice, text=with_link(text, place[0], place[1], lang, link), link=link)
                    subject = subject_of(place[0], lang) if name == "email" else None
                    yield Shown(place[0], place[1], reason, lang, name, subject, sms_text(carried, SIGN) if name == "sms" else carried.text)


class _Filled(dict[str, str]):
    """Places that have no sample stand as they are named."""

    def __missing__(self, name: str) -> str:
        return f"<{name}>"


def places(template: str) -> set[str]:
    """The names of a template's places."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


notices = typer.Typer(help="通知文本 · the texts of notices", no_args_is_help=True)


@notices.callback()
def _group() -> None:
    """通知文本 · The texts of notices."""


@notices.command()
def preview(
    *,
    kind: Annotated[str | None, typer.Option(help="只看这一种 · this kind only")] = None,
    party: Annotated[str | None, typer.Option(help="只看发给这一方的 · to this side only")] = None,
    lang: Annotated[str | None, typer.Option(help="zh-CN（zh）或 en，默认两种 · zh-CN (zh) or en, both if not said")] = None,
    channel: Annotated[str | None, typer.Option(help=f"通道 · one of {', '.join(CHANNELS)}")] = None,
    public_url: Annotated[str | None, typer.Option(help="带上指向此网址的链接 · with links to this address")] = None,
) -> None:
    """逐条查看各通道的通知文本 · Show every text in both languages as each channel carries it."""
    language = {"zh": "zh-CN", "both": None}.get(lang, lang) if lang is not None else None
    _see_choices(kind=kind, party=party, language=language, channel=channel)
    if public_url is not None and (not re.fullmatch(r"https?://[^\s/?#]+/?", public_url)):
        raise Trouble(
            "--public-url 填居民能打开的网址，如 https://example.org", "Give --public-url the address that people can open, such as https://example.org"
        )
    found = list(samples(kind=kind, party=party, language=language, channel=channel, public_url=public_url))
    if not found:
        raise Trouble("没有这样的通知：这一种不发给这一方。", "There is no such notice: this kind does not go to this side.")
    for shown in found:
        subject = "" if shown.subject is None else f"  主题 · subject: {shown.subject}\n"
        typer.echo(f"{shown.title}\n{subject}  {shown.text}\n  {shown.length}\n")


def _see_choices(*, kind: str | None, party: str | None, language: str | None, channel: str | None) -> None:
    """Look whether each of them is one that there is.

    Raises:
        Trouble: one is not; those that there are stand beside it.
    """
    from services.notifier.notices import templates

    named = list(templates("en"))
    for option, given, known in (
        ("--kind", kind, dict.fromkeys(place[0] for place in named)),
        ("--party", party, dict.fromkeys(place[1] for place in named)),
        ("--lang", language, get_args(Lang)),
        ("--channel", channel, CHANNELS),
    ):
        if given is not None and given not in known:
            choices = ", ".join(known)
            raise Trouble(f"没有这样的通知。{option} 可选：{choices}", f"There is no such notice. For {option} there are: {choices}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    if not any(group.name == "notices" for group in app.registered_groups):
        app.add_typer(notices, name="notices")
