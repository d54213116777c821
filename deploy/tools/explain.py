"""How `explain` shows a story."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from deploy.tables import Table
from deploy.tools.judging import verdict_words
from deploy.tools.story import Story, Waiting
from deploy.tools.wording import (
    CATEGORIES,
    MATCH_STATES,
    REACHES,
    REFUSALS,
    RELEASES,
    RUNGS,
    URGENCIES,
    WISH_STATES,
    Lang,
    Words,
    clean,
    clock,
    join,
    slot_words,
    word,
)
from services.matcher.core.place import RUNGS as RUNG_NAMES
from services.matcher.core.reasons import vetting_demands

_STATE_STYLES: Final = {"open": "yellow", "held": "cyan", "matched": "green", "closed": "green", "withdrawn": "dim", "expired": "red"}


def show(story: Story, console: Console, lang: Lang) -> None:
    """Print a story: what was wished, how it stands, what happened, and what it waits for."""
    _head(story, console, lang)
    console.print()
    for step in story.steps:
        zh, en = step.words
        mark = "└ " if step.under else ""
        text = Text(f"{clock(step.at)}  ", style="dim")
        text.append(mark, style="dim")
        text.append(en if lang == "en" else zh, style="cyan" if step.under else "default")
        console.print(text, soft_wrap=True)
        if lang == "both" and en != zh:
            console.print(Text(" " * (16 + len(mark)) + en, style="dim"), soft_wrap=True)
    if story.matches:
        console.print()
        _matches(story, console, lang)
    if story.waiting is not None:
        console.print()
        _waiting(story, story.waiting, console, lang)


def _head(story: Story, console: Console, lang: Lang) -> None:
    wish = story.wish
    state = word(WISH_STATES, story.status)
    title = Text(f"{clean(story.wish_id)}  ", style="bold")
    title.append(f"「{clean(wish.title)}」  ")
    title.append(join(lang, state), style=f"bold {_STATE_STYLES.get(story.status, 'default')}")
    console.print(title)
    live = sum(1 for match in story.matches if match["state"] not in {"released", "unhelped"})
    place = "/".join(step for step in (wish.place.community, wish.place.compound, wish.place.building, wish.place.unit) if step)
    facts: list[tuple[Words, str]] = [
        (("类别", "category"), f"{join(lang, word(CATEGORIES, wish.category))} · {join(lang, word(URGENCIES, wish.urgency))}"),
        (("地点", "place"), f"{clean(story.area)} / {clean(place)}"),
        (("技能", "skills"), clean(", ".join(wish.skills))),
        (("时段", "window"), join(lang, slot_words(wish.window.start, wish.window.end))),
        (("时长", "length"), join(lang, (f"{wish.minutes} 分钟", f"{wish.minutes} min"))),
        (("帮手", "helpers"), join(lang, (f"已有 {live} / 需要 {story.need}", f"{live} of {story.need}"))),
        (("提出", "submitted"), clock(story.submitted_at)),
    ]
    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        table.add_row(Text(join(lang, name), style="dim"), Text(value))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _matches(story: Story, console: Console, lang: Lang) -> None:
    heads = (("服务", "offer"), ("距离", "distance"), ("时间", "slot"), ("状态", "state"), ("配对编号", "match id"))
    table = Table(*(join(lang, head) for head in heads), title=join(lang, ("配对", "matches")), title_justify="left")
    for match in story.matches:
        state = word(MATCH_STATES, match["state"])
        if match["state"] == "released":
            why = word(RELEASES, match["reason"])
            state = (f"{state[0]}：{why[0]}", f"{state[1]}: {why[1]}")
        table.add_row(
            Text(clean(match["offer_id"])),
            join(lang, word(RUNGS, RUNG_NAMES[match["rung"]])),
            join(lang, slot_words(match["starts_at"], match["ends_at"])),
            Text(join(lang, state)),
            Text(clean(match["match_id"]), style="dim"),
        )
    console.print(table)


def _waiting(story: Story, waiting: Waiting, console: Console, lang: Lang) -> None:
    head = (
        f"还缺 {waiting.missing} 人。开放的服务有 {waiting.offers} 份，逐份按规则判断（记第一条不满足的规则）：",
        f"{waiting.missing} more wanted. Open offers: {waiting.offers}; each is judged by the rules, and the first that fails counts:",
    )
    say(console, lang, head, "yellow")
    table = Table(join(lang, ("规则", "rule")), join(lang, ("排除份数", "excludes")), show_edge=False)
    table.columns[1].justify = "right"
    for reason, count in waiting.excluded.items():
        table.add_row(Text(f"{join(lang, word(REFUSALS, reason))}  ({clean(reason)})"), str(count))
    table.add_row(Text(join(lang, ("都满足", "passes them all")), style="green"), str(waiting.fit))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    _nearest(story, waiting, console, lang)
    for words in conclusions(story, waiting):
        say(console, lang, words, "yellow")


def _nearest(story: Story, waiting: Waiting, console: Console, lang: Lang) -> None:
    if not waiting.nearest:
        return
    say(console, lang, ("最近的、只差一条的服务：", "The nearest offers that fail one rule alone:"), "yellow")
    demands = vetting_demands(story.wish)
    for offer_id, verdict in waiting.nearest:
        said, offer = verdict_words(verdict, demands), clean(offer_id)
        say(console, lang, (f"  服务 {offer}　{said[0]}", f"  offer {offer}  {said[1]}"), "default")


def conclusions(story: Story, waiting: Waiting) -> list[Words]:
    """What follows for a wish that waits, one sentence after another."""
    until = clock(story.ends_at)
    if waiting.late:
        return [(f"剩下的时间已不够一次服务，{until} 到期。", f"There is not enough time left for a visit: it expires at {until}.")]
    found: list[Words] = []
    if waiting.together:
        if waiting.missing < 2:
            return [_last_of_twos(until)]
        found.append(_lacks_second(waiting))
        if waiting.second_at is not None:
            second = clock(waiting.second_at)
            found.append((f"已为它留住一位，等第二位 {second} 空出来。", f"One is kept for it until a second one falls free at {second}."))
    elif waiting.invitations:
        found.append(
            (
                f"已邀请 {waiting.invitations} 份服务，先答应者先得。",
                f"{waiting.invitations} offers are invited: the first to accept has the wish.",
            )
        )
    elif 0 < waiting.fit <= waiting.spent:
        found.append(
            (
                f"合适的 {waiting.fit} 份服务都已邀请过，没有谁答应；仍可认领。没有答复的，重新登记服务后会再受邀请。",
                f"Whoever fits ({waiting.fit}) was invited before, and nobody said yes: they may still claim it; the silent are asked again if they post anew.",
            )
        )
    elif 0 < waiting.fit <= waiting.spent + waiting.kept:
        found.append(
            (
                f"合适的 {waiting.kept} 份服务正为更早的、须两人同去的心愿留着，等第二位志愿者空出来；仍可认领，来不及时也不再留。",
                f"Whoever fits ({waiting.kept}) is kept for older wishes that need two, until a second one is free, but no longer than this one can wait.",
            )
        )
    elif waiting.fit:
        found.append(_fits(waiting))
    if waiting.reach is None:
        zh, en = "有新的服务，或有帮手空出来时，会立即再试", "It is tried again whenever an offer comes or a helper is free again"
    else:
        reach = word(REACHES, waiting.reach)
        zh, en = f"目前在{reach[0]}内找人，每轮都会再试", f"It asks up to {reach[1]} for now, and is tried again in every round"
    found.append((f"{zh}，直到 {until}。", f"{en}, until {until}."))
    return found


def _last_of_twos(until: str) -> Words:
    return (
        f"只缺一人，而新的帮手须两人一组：除非已定的人有变，这个名额不再补，{until} 为止。",
        f"It lacks one helper, and new ones come in twos: unless somebody who is to come is lost, that place stays empty, until {until}.",
    )


def _lacks_second(waiting: Waiting) -> Words:
    if waiting.people < 2:
        return (f"这个心愿须两人同行，合适的只有 {waiting.people} 人。", f"It needs two different people together; {waiting.people} would do.")
    return ("这个心愿须两人同行，合适的人里没有两位同时有空。", "It needs two helpers together; of those who would do, no two are free at once.")


def _fits(waiting: Waiting) -> Words:
    if waiting.reach is None:
        return ("有合适的帮手，马上会配对。", "Somebody fits: it is about to be matched.")
    return (
        "有合适的帮手：范围扩大到他们、该定的时候就会配对，等待期间看有没有更好的人选。",
        "Somebody fits: it is matched once it asks that far and its waiting ends; until then a better helper may come.",
    )


def say(console: Console, lang: Lang, words: Words, style: str) -> None:
    """Print a sentence; of both languages, each on a line of its own."""
    for text in words if lang == "both" else (words[0] if lang == "zh" else words[1],):
        console.print(Text(text, style=style), soft_wrap=True)
