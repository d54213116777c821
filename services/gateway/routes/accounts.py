"""One's own account (sessions, password), and the accounts that an admin manages."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from services.gateway import words
from services.gateway.context import Gateway, GatewayOf
from services.gateway.guard import Denied, needs, record
from services.gateway.identity.model import Account, Caller
from services.gateway.identity.passwords import BadPassword
from services.gateway.identity.service import Refused
from services.gateway.policy import Act
from services.gateway.roles import Principal
from services.gateway.routes.sign_in import set_session
from services.gateway.words import LOCAL

router = APIRouter()
Own = Annotated[Principal, needs(Act.SEE_OWN)]
Manager = Annotated[Principal, needs(Act.MANAGE_ACCOUNTS)]
AccountId = Annotated[str, Path(pattern="^[a-z0-9-]{8,64}$")]
Login = Annotated[str, Query(max_length=64, pattern="^[^\\x00]*$")]
_SHOWN_MAX: Final = 200
_REFUSED: Final = {
    "wrong": (422, ("现在的密码不对", "the present password is not right")),
    "no_password": (
        409,
        (
            "您在统一登录处登录，这里没有密码，请到那里修改",
            "you sign in at the identity provider, and have no password here: change the one there",
        ),
    ),
    "wait": (429, ("尝试次数过多，请稍候再试", "too many attempts: wait a moment")),
}
_BY_OPERATOR: Final = {
    "code": "by_operator",
    "zh": "此账号由运维人员停用，只能由其恢复：python3 -m deploy account enable",
    "en": "the operator disabled this account, and enables it: python3 -m deploy account enable",
}


class AccountView(BaseModel):
    """An account as an admin sees it; no password, no code, no person's name."""

    account_id: str
    login: str
    roles: list[str]
    scope: list[str]
    centre: list[str] | None
    second_factor: bool
    disabled_at: datetime | None


def _view(account: Account) -> AccountView:
    return AccountView(
        account_id=account.account_id,
        login=account.login,
        roles=sorted(account.roles),
        scope=list(account.scope.steps),
        centre=None if account.centre is None else list(account.centre.steps),
        second_factor=account.totp is not None,
        disabled_at=account.disabled_at,
    )


async def _own_page(gateway: Gateway, request: Request, words: tuple[str, str] | None = None, status: int = 200) -> HTMLResponse:
    caller: Caller = request.state.caller
    assert caller.principal is not None
    sessions = await gateway.identity.store.sessions(caller.principal.account)
    shown = [{"began": one.created_at.astimezone(LOCAL), "seen": one.seen_at.astimezone(LOCAL), "this": one.digest == caller.session} for one in sessions]
    found = None if caller.session is None else await gateway.identity.store.by_session(caller.session)
    elsewhere = found is not None and found[1].password_hash is None
    return gateway.renderer.page(request, "account.html", status=status, sessions=shown, words=words, must_change=caller.must_change, elsewhere=elsewhere)


@router.get("/account", response_class=HTMLResponse, summary="My account")
async def own(request: Request, gateway: GatewayOf, _principal: Own) -> HTMLResponse:
    """Where one is signed in, signing out everywhere, a new password."""
    return await _own_page(gateway, request)


@router.post("/account/password", response_class=HTMLResponse, summary="A new password", status_code=303)
async def change_password(
    request: Request,
    gateway: GatewayOf,
    principal: Own,
    present: Annotated[str, Form(max_length=256)] = "",
    new: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    """Replace the password; all other sessions end."""
    caller: Caller = request.state.caller
    if caller.session is None:  # a key or token knows no password
        raise Denied(Act.SEE_OWN, None)
    try:
        done = await gateway.identity.change_password(caller, present, new)
    except Refused as fault:
        await record(request, "change_password", "denied", things=[])
        status, words = _REFUSED[fault.reason]
        return await _own_page(gateway, request, words, status)
    except BadPassword as fault:
        return await _own_page(gateway, request, (fault.chinese, fault.english), 422)
    await record(request, "change_password", "allowed", things=[f"account={principal.account}"])
    # Whoever had to change it first came for something else: on to where that is.
    response = RedirectResponse(f"/{'' if caller.must_change else 'account'}?said=password", status_code=303)
    set_session(gateway, response, done)
    return response


@router.get("/api/v1/accounts", summary="Accounts inside one's circle")
async def accounts(gateway: GatewayOf, principal: Manager) -> list[AccountView]:
    """For an admin: logins, roles and scopes."""
    return [_view(account) for account in await gateway.identity.store.accounts(principal)]


async def _set_disabled(gateway: Gateway, principal: Principal, account_id: str, at: datetime | None) -> AccountView:
    identity = gateway.identity
    done = account_id != principal.account and await identity.store.set_disabled(principal, account_id, at)
    found = await identity.store.account(principal, account_id)
    if found is None or account_id == principal.account:
        raise HTTPException(404)
    if not done:
        raise HTTPException(409, _BY_OPERATOR)
    identity.forget_account(account_id)
    return _view(found)


@router.post("/api/v1/accounts/{account_id}/disable", summary="Disable an account")
async def disable(gateway: GatewayOf, principal: Manager, account_id: AccountId) -> AccountView:
    """No session, key or token of it is good any more. One's own is not disabled from here."""
    return await _set_disabled(gateway, principal, account_id, gateway.identity.clock())


@router.post("/api/v1/accounts/{account_id}/enable", summary="Let an account in again")
async def enable(gateway: GatewayOf, principal: Manager, account_id: AccountId) -> AccountView:
    """Its sessions stay ended. Whom the operator disabled the operator lets in again: 409."""
    return await _set_disabled(gateway, principal, account_id, None)


@router.get("/accounts", response_class=HTMLResponse, summary="Accounts inside one's circle, as a page")
async def accounts_page(request: Request, gateway: GatewayOf, principal: Manager, login: Login = "") -> HTMLResponse:
    """The first of them, of those whose login begins as given, to read, with a button for whom one may keep out or let in again."""
    found, together = await gateway.identity.store.found_accounts(principal, login.strip().lower(), _SHOWN_MAX)
    shown: dict[str, Any] = {"accounts": [_view(account) for account in found], "together": together, "login": login.strip()}
    return gateway.renderer.page(request, "accounts.html", own=principal.account, words=words, **shown)


@router.post("/accounts/{account_id}/disable", response_class=RedirectResponse, status_code=303, summary="Keep an account out")
async def keep_out(gateway: GatewayOf, principal: Manager, account_id: AccountId) -> RedirectResponse:
    """As the API does."""
    await _set_disabled(gateway, principal, account_id, gateway.identity.clock())
    return RedirectResponse("/accounts?said=disabled", status_code=303)


@router.post("/accounts/{account_id}/enable", response_class=RedirectResponse, status_code=303, summary="Let an account in again, from the page")
async def let_in(gateway: GatewayOf, principal: Manager, account_id: AccountId) -> RedirectResponse:
    """As the API does."""
    await _set_disabled(gateway, principal, account_id, None)
    return RedirectResponse("/accounts?said=enabled", status_code=303)
