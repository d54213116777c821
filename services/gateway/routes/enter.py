"""Entering a wish: for oneself, or by a worker or a centre household for somebody else. One page, big choices, under a minute."""

import re
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import NAMESPACE_URL, uuid4, uuid5

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from schemas import shapes
from schemas.errors import InvalidEvent
from schemas.place import Place
from services.gateway import words
from services.gateway.board.drafts import SUBMITTED
from services.gateway.context import Gateway, GatewayOf
from services.gateway.guard import needs, require
from services.gateway.people import entry, store
from services.gateway.people.entry import Entered, Form
from services.gateway.people.settling import settled
from services.gateway.policy import Act, Thing, may
from services.gateway.roles import Principal, Role, Scope

router = APIRouter()
Asker = Annotated[Principal, needs(Act.ENTER_WISH)]
_WISH_ID: Final = re.compile(r"w-[0-9a-f]{16}")
_FIELDS_MAX: Final = 60
_ENTERED_BEFORE: Final[words.Words] = (
    "用这张表已经提过一个心愿。如果这是另一件事，请再点一次“提交心愿”；否则请看“我的心愿”或看板",
    "A wish was entered by this form already. If this is another one, tap “Send the wish” once more; else see “My wishes”, or the monitor",
)
_ELSEWHERE: Final[words.Words] = ("这里不在您的范围内，请由当地社区代为登记", "This is outside your own circle: ask the community there to enter it")


@router.get("/enter", response_class=HTMLResponse, summary="The form for a wish")
async def form(request: Request, gateway: GatewayOf, principal: Asker) -> HTMLResponse:
    """With the usual choices made."""
    values = entry.DEFAULTS | {"wish_id": _new_wish_id()}
    steps = zip(entry.STEPS, _circle(principal).steps[1:], strict=False)
    return await _page(request, gateway, principal, Form(values | dict(steps)), {}, HTTPStatus.OK)


@router.post("/enter", response_class=HTMLResponse, summary="Enter a wish")
async def enter(request: Request, gateway: GatewayOf, principal: Asker) -> Response:
    """Published at once, or laid before a worker where the community wants that; what is wrong is said at its field."""
    filled = await _filled(request, gateway, principal)
    refs = principal.resident_refs
    for_others = principal.has(Role.WORKER) or not refs
    resident_ref = filled["resident_ref"].strip()
    if for_others and (not resident_ref or not principal.has(Role.WORKER)):
        # Nobody can tell it from the wish, and a centre household enters no wish in somebody else's name: what is told of a resident hangs on it.
        resident_ref = f"r-{gateway.identity.keys.mac('resident reference', filled['wish_id'].encode()).hex()[:16]}"
    elif not for_others and resident_ref not in refs:
        resident_ref = min(refs)
    now = words.utc_now()
    taken = entry.entered(filled, area=principal.scope.area, wish_id=filled["wish_id"], resident_ref=resident_ref, now=now)
    if entry.has_turned(filled, now):  # chosen anew, as one tap more would else send the other day
        filled = Form({**filled.values, "when": ""}, filled.skills)
    place = None if taken.faults else Place(**taken.data["place"])
    if place is not None and not _circle(principal).covers(principal.scope.area, place):
        taken.faults["community"] = _ELSEWHERE
    if not taken.faults:
        require(principal, Act.ENTER_WISH, Thing(principal.scope.area, place, resident_ref))
        try:
            kept = await _kept(gateway, principal, taken)
            if kept is not None:
                return kept
            # A page that the browser had kept: what is sent by it now would be taken for what was sent by it before, and be lost.
            taken.faults["title"] = _ENTERED_BEFORE
            filled = Form({**filled.values, "wish_id": _new_wish_id()}, filled.skills)
        except InvalidEvent as fault:  # the whole event, where a field alone was right
            taken.faults["title"] = fault.words
    return await _page(request, gateway, principal, filled, taken.faults, HTTPStatus.UNPROCESSABLE_ENTITY)


async def _kept(gateway: Gateway, principal: Principal, taken: Entered) -> RedirectResponse | None:
    """What follows once it is published, or laid before a worker; None where another wish was entered by this form."""
    area, wish_id = principal.scope.area, taken.data["wish_id"]
    async with gateway.database.acting_for(principal) as connection:
        before = await store.entered_before(connection, area, wish_id)
        if before is not None and before != taken.data["title"]:
            return None
        reviewed = not principal.has(Role.WORKER) and await store.is_reviewed(connection, area, taken.data["place"]["community"])
        if reviewed:
            await store.add_draft(connection, str(uuid4()), taken.data, principal.account)
    if reviewed:
        return RedirectResponse("/wishes?said=laid", HTTPStatus.SEE_OTHER)
    # The same form sent twice is the same event.
    await gateway.publisher.say(SUBMITTED, wish_id, taken.data, event_id=str(uuid5(NAMESPACE_URL, f"entered:{wish_id}")))

    async def shows() -> bool:
        async with gateway.database.acting_for(principal) as connection:
            return await store.my_wish(connection, area, wish_id) is not None

    await settled(shows)
    if not may(principal, Act.ACKNOWLEDGE):  # a centre household does not follow what it entered for a neighbour
        return RedirectResponse("/wishes?said=entered", HTTPStatus.SEE_OTHER)
    return RedirectResponse(f"/wishes/{wish_id}?said=entered", HTTPStatus.SEE_OTHER)


async def _filled(request: Request, gateway: Gateway, principal: Principal) -> Form:
    async with request.form(max_files=0, max_fields=_FIELDS_MAX) as sent:
        values = {name: value for name, value in sent.items() if isinstance(value, str)}
        skills = tuple(value for value in sent.getlist("skills") if isinstance(value, str) and re.fullmatch(shapes.SKILL, value))
    if not _WISH_ID.fullmatch(values.get("wish_id", "")):
        values["wish_id"] = _new_wish_id()
    community, _, compound = values.get("where", "").partition("/")
    if community:
        values |= {"community": community, "compound": compound}
    for step in ("building", "unit"):
        values[step] = gateway.renderer.places.step_id(principal.scope.area, step, values.get(step, ""))
    return Form(values, skills)


def _circle(principal: Principal) -> Scope:
    """Where somebody may enter wishes: a centre household, whose scope as a volunteer is wider, in its own stairway."""
    if principal.centre is None or principal.resident_refs or principal.has(Role.WORKER):
        return principal.scope
    return principal.centre


def _new_wish_id() -> str:
    return f"w-{uuid4().hex[:16]}"


async def _page(request: Request, gateway: Gateway, principal: Principal, filled: Form, faults: dict[str, words.Words], status: int) -> HTMLResponse:
    now, scope = words.utc_now(), _circle(principal)
    known: list[tuple[str, str | None]] = list(gateway.renderer.places.within(scope))
    if not known:
        async with gateway.database.acting_for(principal) as connection:
            known = await store.known_places(connection, scope.area, principal.resident_refs)
    if not known and scope.community is not None:
        known = [(scope.community, scope.compound)]
    given: dict[str, Any] = {
        "form": filled,
        "area": scope.area,
        "faults": faults,
        "known": known,
        "written": partial(gateway.renderer.places.written, scope.area),
        "entry": entry,
        "whens": entry.choices(now),
        "for_others": principal.has(Role.WORKER) or not principal.resident_refs,
        "refs": sorted(principal.resident_refs),
        "today": entry.today(now),
        "words": words,
        # Whose it is, where a browser tab keeps what was not taken: told to nobody who does not know it.
        "keep": gateway.identity.keys.mac("kept form", principal.account.encode()).hex()[:16],
    }
    return gateway.renderer.page(request, "enter.html", status=status, **given)


@router.get("/wishes", response_class=HTMLResponse, summary="My wishes")
async def wishes(request: Request, gateway: GatewayOf, principal: Asker) -> HTMLResponse:
    """Those of the residents one speaks for, and what one has entered that nobody has published yet."""
    area = principal.scope.area
    async with gateway.database.acting_for(principal) as connection:
        found = await store.my_wishes(connection, area, principal.resident_refs) if principal.resident_refs else []
        drafts = await store.my_drafts(connection, area, principal.account)
    return gateway.renderer.page(request, "wishes.html", wishes=found, drafts=drafts, words=words, now=words.utc_now())
