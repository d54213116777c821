"""Pages: Jinja2 templates with everything escaped, in Simplified Chinese first and English second."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from services.gateway.navigation import doors_of, flash_of
from services.gateway.places import Places

Language = Literal["zh-CN", "en"]
PAGES: Final = Path(__file__).with_name("pages")
TEMPLATES: Final = PAGES / "templates"
STATIC: Final = PAGES / "static"
LANGUAGE_COOKIE: Final = "lang"
LANGUAGE_SECONDS: Final = 365 * 24 * 3600


def language_of(request: Request) -> Language:
    """The language of a request: what was chosen (`?lang=`, then the cookie), then what the browser asks for, then Chinese."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen == "en":
            return "en"
        if chosen in {"zh", "zh-CN"}:
            return "zh-CN"
    first = request.headers.get("accept-language", "").split(",")[0].strip().lower()
    return "en" if first.startswith("en") else "zh-CN"


@lru_cache
def asset(name: str) -> str:
    """The address of a static file, with what it holds in its query: it may be kept for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:10]}"


class Renderer:
    """Renders a template by name for a request."""

    def __init__(self, places: Places | None = None) -> None:
        self.places = places or Places()
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            enable_async=False,
            auto_reload=False,  # else each page asks the disk whether its templates have changed
        )
        self._environment.globals["asset"] = asset

    def page(self, request: Request, template: str, /, *, status: int = 200, **values: Any) -> HTMLResponse:
        """One page. Templates see `lang` and `t(zh, en)`, which picks the text of the language, and what `given` names below.

        `?lang=` is remembered; `?said=` names the sentence about what was just done.
        """
        language = language_of(request)

        def text(zh: str, en: str) -> str:
            return en if language == "en" else zh

        principal = values.pop("principal", getattr(request.state, "principal", None))
        given = {
            "lang": language,
            "t": text,
            "request": request,
            "csrf": getattr(request.state, "csrf", ""),
            "principal": principal,
            "nav": doors_of(principal, request.url.path),
            "flash": flash_of(request.query_params.get("said")),
            "place_name": lambda *circle: text(*self.places.name(*circle)),
            "building_name": lambda area, code: text(*self.places.building(area, code)),
            "other_language": _in_other_language(request, language),
        }
        html = self._environment.get_template(template).render(given | values)
        response = HTMLResponse(html, status_code=status, headers={"content-language": language, "vary": "accept-language, cookie"})
        if "lang" in request.query_params:
            response.set_cookie(LANGUAGE_COOKIE, language, max_age=LANGUAGE_SECONDS, httponly=True, samesite="lax", secure=request.url.scheme == "https")
        return response


def _in_other_language(request: Request, language: Language) -> str:
    """The same page in the other language; a form's answer has no address of its own and leads to the first page."""
    if request.method != "GET":
        return "/?lang=zh" if language == "en" else "/?lang=en"
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in {"lang", "said"}]
    return "?" + urlencode([*kept, ("lang", "zh" if language == "en" else "en")])
