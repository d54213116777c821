"""Where somebody can go from every page, and the sentences that a page shows after something was done. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from services.gateway.policy import Act, may
from services.gateway.roles import Principal, Role

Words = tuple[str, str]
"""The same in Chinese and in English."""


@dataclass(frozen=True, slots=True)
class Door:
    """One way on: for whom, where to, and what it says. `icon` is a name in `ui.html`."""

    path: str
    words: Words
    about: Words
    icon: str
    roles: frozenset[Role]
    centre: bool = False
    """Whether it is for centre households, too, whose role is a volunteer's."""


@dataclass(frozen=True, slots=True)
class Link:
    """A door as the page shows it."""

    path: str
    words: Words
    about: Words
    icon: str
    current: bool


@dataclass(frozen=True, slots=True)
class Flash:
    """A sentence about what was just done."""

    kind: Literal["good", "bad", "wait", "info"]
    words: Words


_HOUSEHOLD: Final = frozenset({Role.RESIDENT, Role.GUARDIAN})
_WORKER: Final = frozenset({Role.WORKER})
DOORS: Final = (
    Door("/monitor", ("看板", "Monitor"), ("今天的心愿：谁在等，谁要紧", "today's wishes: who waits, and who is in need"), "monitor", _WORKER | {Role.AUDITOR}),
    Door("/wall", ("心愿墙", "Wishes"), ("附近等人认领的微心愿", "small wishes near you that wait for somebody"), "wall", frozenset({Role.VOLUNTEER})),
    Door("/mine", ("我的", "Mine"), ("我的服务、时长和星级", "my visits, hours and stars"), "mine", frozenset({Role.VOLUNTEER})),
    Door("/inbox", ("消息", "Messages"), ("给我的通知", "what I was told"), "inbox", frozenset({Role.VOLUNTEER}) | _WORKER | _HOUSEHOLD),
    Door("/wishes", ("我的心愿", "My wishes"), ("办到哪一步了", "how far they are"), "heart", _HOUSEHOLD),
    Door("/enter", ("提心愿", "New wish"), ("为自己或替别人提一个心愿", "for yourself or for somebody else"), "enter", _WORKER | _HOUSEHOLD, centre=True),
    Door("/dead-letters", ("死信", "Dead letters"), ("没能处理的事件", "events that could not be taken"), "letter", _WORKER | {Role.AUDITOR, Role.ADMIN}),
    Door("/audit", ("审计", "Audit"), ("谁在何时做了什么", "who did what, and when"), "log", frozenset({Role.AUDITOR, Role.ADMIN})),
    Door("/accounts", ("账号", "Accounts"), ("谁能进来", "who may come in"), "people", frozenset({Role.ADMIN})),
    Door("/keys", ("密钥", "Keys"), ("外部系统的密钥与回调", "keys and webhooks of other systems"), "key", frozenset({Role.INTEGRATOR, Role.ADMIN})),
    Door("/catalogue", ("事件目录", "Catalogue"), ("事件、字段与示例", "events, fields and examples"), "book", frozenset({Role.INTEGRATOR})),
)
FLASHES: Final[Mapping[str, Flash]] = MappingProxyType(
    {
        "accepted": Flash("good", ("已答应，谢谢您！确认后会告诉您。", "You said yes, thank you! You will hear once it is confirmed.")),
        "declined": Flash("info", ("已告知来不了，我们会另找帮手。", "You said that you can't come; another helper will be found.")),
        "taken": Flash(
            "info", ("谢谢您！这件事已经不用再答复了：有人先答应，或已取消。", "Thank you! No answer is needed any more: somebody was first, or it is off.")
        ),
        "unfit": Flash(
            "wait",
            (
                "谢谢您愿意帮忙！这件事现在排不进来：您已有别的约定，或您的服务登记变了。请不必前往，我们会请别人。",
                "Thank you for being ready! It does not fit now: you have other visits, or your offer has changed. Please do not set out; others are asked.",
            ),
        ),
        "settled": Flash("info", ("您已经约好这一件；来不了的话，请在下面告诉我们。", "This one is yours already; if you can't come, say so below.")),
        "started": Flash("good", ("已记下：您到了。", "Noted: you are there.")),
        "finished": Flash("good", ("辛苦了！时长会在居民确认后记入。", "Thank you! The hours are booked once the resident has confirmed.")),
        "withdrawn": Flash("info", ("心愿已撤回。", "The wish is withdrawn.")),
        "begun": Flash(
            "wait",
            (
                "这次服务已经开始，心愿不能再撤回。请说一说这次办得怎样。",
                "The visit has begun, so the wish can't be withdrawn any more. Please say how it went instead.",
            ),
        ),
        "acknowledged": Flash("good", ("谢谢您的回音，已记下。", "Thank you for your word; it is noted.")),
        "entered": Flash("good", ("心愿已收到，正在找身边的帮手。", "The wish is in; a helper nearby is being looked for.")),
        "laid": Flash("info", ("心愿已收到，社区工作者看过后就发布。", "The wish is in; a community worker looks at it before it is published.")),
        "read": Flash("info", ("已标为已读。", "Marked as read.")),
        "approved": Flash("good", ("已同意，正在确认。", "Approved; it is being confirmed.")),
        "disapproved": Flash("info", ("已记下不同意，正在另找帮手。", "Your no is noted; another helper is being looked for.")),
        "redispatched": Flash("info", ("已解除原配对，正在另找帮手。", "The pair is parted; another helper is being looked for.")),
        "called": Flash("good", ("回访结果已记下。", "What you heard is noted.")),
        "frozen": Flash(
            "info", ("心愿已冻结，副本在“待审心愿”里，可随时恢复。", "The wish is frozen; a copy lies under “To review” and can be published again.")
        ),
        "published": Flash("good", ("心愿已发布。", "The wish is published.")),
        "too_late": Flash("bad", ("这个心愿剩下的时间已不够，不能发布。", "Too little time is left for this wish: it can't be published.")),
        "draft_refused": Flash("info", ("已记下：这个心愿不发布。", "Noted: this wish is not published.")),
        "disabled": Flash("info", ("账号已停用，各处已退出登录。", "The account is disabled, and signed out everywhere.")),
        "enabled": Flash("good", ("账号已恢复，可以重新登录。", "The account is let in again: it can sign in.")),
        "revoked": Flash("info", ("密钥已吊销，即刻失效。", "The key is revoked: it holds no longer.")),
        "password": Flash("good", ("密码已修改，别处都已退出登录。", "The password is changed; you are signed out everywhere else.")),
        "saved": Flash("good", ("设置已保存。", "The setting is saved.")),
        "replayed": Flash("good", ("已重新发布。", "Published again.")),
        "ended": Flash(
            "wait",
            ("您的登录已结束，刚才的没有送出。请重新登录，再试一次。", "Your sign-in has ended, and what you sent was not taken. Sign in, and try again."),
        ),
        "later": Flash("wait", ("已收到，正在处理，稍后请刷新看结果。", "It is in and being worked on; please look again in a moment.")),
    }
)


def doors_of(principal: Principal | None, path: str) -> tuple[Link, ...]:
    """The doors of somebody's roles; `path` is where they are now."""
    if principal is None:
        return ()
    return tuple(
        Link(door.path, door.words, door.about, door.icon, path == door.path or path.startswith(f"{door.path}/"))
        for door in DOORS
        if not door.roles.isdisjoint(principal.roles) or (door.centre and may(principal, Act.ENTER_WISH))
    )


def flash_of(code: str | None) -> Flash | None:
    """The sentence of a code; a code that is not ours says nothing, so that no link can put words into a page."""
    return None if code is None else FLASHES.get(code)
