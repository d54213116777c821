"""What a notice says, in each language: said again from what it tells of. Pure.

`exchange` comes in for whoever reads another language than this service writes, and the app's inbox for whoever may read in either.
"""

from services.notifier.book import NOTHING_NEEDED, Notice
from services.notifier.notices import LANGUAGES, TO_THE_DESK, Language, text_for_worker, text_of


def said_in(notice: Notice, language: Language) -> str | None:
    """Its text in a language; None where there is none."""
    try:
        if notice.party == "worker" and notice.kind in TO_THE_DESK:
            need = notice.need or NOTHING_NEEDED
            return text_for_worker(notice.kind, language, wish_id=notice.wish_id, rung=need.rung, skills=need.skills, vetting=need.vetting)
        about = notice.said
        return text_of(
            notice.kind,
            notice.party,
            language,
            category=about.category,
            rung=about.rung or "area",
            slot=about.slot,
            reason=notice.reason,
            by=notice.answer_by,
            wish_id=notice.wish_id,
        )
    except KeyError:
        return None


def again_in(notice: Notice, language: Language) -> str | None:
    """The same in another language: only where what the notice says can be said again word by word. An earlier version may have said it otherwise."""
    other = said_in(notice, language)
    return other if other is not None and said_in(notice, notice.language) == notice.text else None


def in_each(notice: Notice) -> dict[Language, str]:
    """Its text by language: in its own alone where it can't be said again."""
    return {notice.language: notice.text} | {one: text for one in LANGUAGES if one != notice.language and (text := again_in(notice, one)) is not None}
