"""Keys, codes and claims of one-time links, without a database."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from schemas.instants import DAY_US, MINUTE_US, SECOND_US
from services.links.claims import ACTIONS, Claims, expiry, signed, verified
from services.links.keys import BadLinkKeys, LinkKeys, digest, normal
from services.links.settings import LinkSettings, link_url

OLD, NEW = (base64.b64encode(bytes(range(start, start + 32))).decode() for start in (7, 90))
JTI = UUID("0f0f0f0f-0000-5000-8000-000000000001")
CLAIMS = Claims(JTI, "answer", "volunteer", "hightech", "w-1", "o-1", "m-1", 1_800_000_000 * SECOND_US)


@pytest.fixture
def keys() -> LinkKeys:
    return LinkKeys.parse(f"b:{NEW},a:{OLD}")


def test_a_code_is_short_the_same_each_time_and_another_for_another_link_or_key(keys: LinkKeys) -> None:
    code = keys.newest.code(JTI)
    assert 26 == len(code)
    assert code == LinkKeys.parse(f"b:{NEW}").newest.code(JTI)
    assert code != keys.newest.code(UUID(int=1))
    assert code != LinkKeys.parse(f"b:{OLD}").newest.code(JTI)
    assert 32 == len(digest(code))


@pytest.mark.parametrize("typed", ["{}", " {}\n", "{:.6}-{}"])
def test_a_code_is_known_however_it_was_typed(keys: LinkKeys, typed: str) -> None:
    code = keys.newest.code(JTI)
    written = typed.format(code) if typed.count("{") == 1 else f"{code[:6].upper()}-{code[6:]}"
    assert code == normal(written)


@pytest.mark.parametrize("typed", ["", "a" * 25, "a" * 27, "1" * 26, "ä" * 26, "a" * 25 + "'"])
def test_what_can_be_no_code_is_not_looked_for(typed: str) -> None:
    assert None is normal(typed)


def test_claims_come_back_as_they_were_signed(keys: LinkKeys) -> None:
    assert CLAIMS == verified(signed(CLAIMS, keys.newest), "b", keys)
    invited = replace(CLAIMS, match_id=None)
    assert invited == verified(signed(invited, keys.newest), "b", keys)


def test_an_older_key_still_opens_and_one_that_was_taken_out_does_not(keys: LinkKeys) -> None:
    token = signed(CLAIMS, LinkKeys.parse(f"a:{OLD}").newest)
    assert CLAIMS == verified(token, "a", keys)
    assert None is verified(token, "a", LinkKeys.parse(f"b:{NEW}"))


def test_changed_claims_another_algorithm_and_foreign_tokens_are_refused(keys: LinkKeys) -> None:
    token = signed(CLAIMS, keys.newest)
    header, body, mark = token.split(".")
    other = signed(replace(CLAIMS, purpose="cancel"), keys.newest).split(".")
    key = keys.newest.claims
    good = jwt.decode(token, key).claims
    forged = [
        ".".join((header, other[1], mark)),
        ".".join((base64.urlsafe_b64encode(b'{"alg":"none","kid":"b","typ":"lastmetre-link+jwt"}').decode().rstrip("="), body, "")),
        jwt.encode({"alg": "HS512", "kid": "b", "typ": "lastmetre-link+jwt"}, good, key, algorithms=["HS512"]),
        jwt.encode({"alg": "HS256", "kid": "b"}, good, key),
        jwt.encode({"alg": "HS256", "kid": "b", "typ": "lastmetre-link+jwt"}, good | {"aud": "another"}, key),
        jwt.encode({"alg": "HS256", "kid": "b", "typ": "lastmetre-link+jwt"}, good | {"purpose": "erase"}, key),
        jwt.encode({"alg": "HS256", "kid": "b", "typ": "lastmetre-link+jwt"}, {k: v for k, v in good.items() if k != "exp"}, key),
        jwt.encode({"alg": "HS256", "kid": "b", "typ": "lastmetre-link+jwt"}, good, OctKey.import_key(bytes(range(32)))),
        "",
        "a.b.c",
    ]
    assert [None] * len(forged) == [verified(one, "b", keys) for one in forged]
    assert None is verified(token, "a", keys)


def test_there_is_nothing_in_the_claims_but_ids_and_the_area(keys: LinkKeys) -> None:
    token = jwt.decode(signed(CLAIMS, keys.newest), keys.newest.claims)
    assert {"aud", "jti", "exp", "purpose", "party", "area", "wish_id", "offer_id", "match_id"} == set(token.claims)


def test_a_link_lives_as_long_as_what_it_is_for() -> None:
    at = 1_800_000_000 * SECOND_US + 5
    ends = {purpose: expiry(purpose, at) - at + 5 for purpose in ACTIONS}
    assert {"answer": 0, "cancel": 0, "start": 120 * MINUTE_US, "finish": 3 * DAY_US, "acknowledge": 7 * DAY_US, "follow": DAY_US} == ends


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# none",
        "noid",
        f"a:{OLD},a:{NEW}",
        "a:short",
        "a:" + base64.b64encode(bytes(32)).decode(),
        f"a b:{OLD}",
    ],
)
def test_weak_or_missing_keys_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(BadLinkKeys) as fault:
        LinkKeys.parse(text)
    assert OLD not in str(fault.value)
    assert " | " in str(fault.value)


def test_a_key_file_is_read_unless_others_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "links.keys"
    path.write_text(f"# newest first\nb:{NEW}\na:{OLD}  # until December\n")
    path.chmod(0o600)
    assert "b" == LinkKeys.read(path).newest.id
    path.chmod(0o640)
    with pytest.raises(BadLinkKeys, match="chmod 600"):
        LinkKeys.read(path)


def test_no_repr_shows_a_key(keys: LinkKeys) -> None:
    assert "Key('b')" == repr(keys.newest)


def test_the_code_stands_behind_the_hash_where_no_server_sees_it() -> None:
    assert "https://lm.example.org/a#abc" == link_url("https://lm.example.org/", "abc")


@pytest.mark.parametrize("url", ["http://lm.example.org", "https://lm.example.org/?a=1", "https://" + "l" * 40, "ftp://lm.example.org", "lm.example.org"])
def test_an_address_that_is_not_safe_or_too_long_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMETRE_LINK_KEYS", f"a:{OLD}")
    monkeypatch.setenv("LASTMETRE_PUBLIC_URL", url)
    with pytest.raises(ValueError, match="LASTMETRE_PUBLIC_URL"):
        LinkSettings()


def test_an_address_needs_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMETRE_PUBLIC_URL", "https://lm.example.org")
    with pytest.raises(ValueError, match="LASTMETRE_LINK_KEYS"):
        LinkSettings()
    monkeypatch.setenv("LASTMETRE_LINK_KEYS", f"a:{OLD}")
    found = LinkSettings().link_ring
    assert found is not None
    assert "a" == found.newest.id
