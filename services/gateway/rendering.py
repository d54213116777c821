"""Pages: Jinja2 templates with everything escaped, in Simplified Chinese first and English second."""

from pathlib import Path
from typing import Any, Final, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

Language = Literal["zh-CN", "en"]
PAGES: Final = Path(__file__).with_name("pages")
TEMPLATES: Final = PAGES / "templates"
STATIC: Final = PAGES / "static"
LANGUAGE_COOKIE: Final = "lang"


def language_of(request: Request) -> Language:
    """The language of a request: what was chosen (`?lang=`, then the cookie), then what the browser asks for, then Chinese."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen == "en":
            return "en"
        if chosen in {"zh", "zh-CN"}:
            return "zh-CN"
    first = request.headers.get("accept-language", "").split(",")[0].strip().lower()
    return "en" if first.startswith("en") else "zh-CN"


class Renderer:
    """Renders a template by name for a request."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            enable_async=False,
        )

    def page(self, request: Request, template: str, /, *, status: int = 200, **values: Any) -> HTMLResponse:
        """One page. Templates see `lang`, `t(zh, en)`, which picks the text of the language, `csrf` for forms, and `principal` or none."""
        language = language_of(request)

        def text(zh: str, en: str) -> str:
            return en if language == "en" else zh

        state = request.state
        values = {"csrf": getattr(state, "csrf", ""), "principal": getattr(state, "principal", None)} | values
        html = self._environment.get_template(template).render(lang=language, t=text, request=request, **values)
        return HTMLResponse(html, status_code=status)
