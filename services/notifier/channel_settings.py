"""`LASTMETRE_CHANNELS`: the named channels, as a TOML or JSON file, or as JSON in the variable itself.

A section is a channel; its `type` says which fields it has. Secrets are never in it: a field that ends in `_env` names the environment variable that holds the
value. Everything is judged at the start, and a complaint names the channel, the field and the fix, never a value.
"""

import json
import os
import re
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from schemas.shapes import CHANNEL

_LOOPBACK: Final = frozenset(("127.0.0.1", "::1", "localhost"))
_SECRET_LENGTH_MIN: Final = 16
_SUFFIX: Final = "_env"


def is_web_address(value: str) -> bool:
    """Whether somebody can be asked there at all: a host whose every part is one, and a port that there is."""
    try:
        parts = urlsplit(value)
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and not re.search(r"\s", value)


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if not is_web_address(value) or parts.username or parts.password:
        raise ValueError
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError
    return value


WebAddress = Annotated[str, AfterValidator(_web_address)]
Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
_URL_HELP: Final = (
    "填 https 地址（本机可用 http），不含用户名和密码；保密的地址放入 url_env"
    " | use an https URL (http on this machine only) without a name or password; a secret URL goes into url_env"
)
_ENV_HELP: Final = "填存放它的环境变量名，如 SMS_SECRET | use the name of the environment variable that holds it, such as SMS_SECRET"
_CODES_HELP: Final = "填返回码的列表，以文字写 | use a list of the answer's codes, as texts"


class _Named(BaseModel):
    """What every channel may say. `system`: channels of one system know each other's idempotency keys; usually its address decides."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    timeout_seconds: float = Field(5.0, gt=0, le=60, description="填 0 至 60 秒 | use 0 to 60 seconds")
    concurrency: int = Field(8, ge=1, le=1000, description="填 1 至 1000 | use 1 to 1000")
    attempts_max: int | None = Field(None, ge=1, le=100, description="填 1 至 100 次 | use 1 to 100 attempts")
    system: str | None = Field(None, min_length=1, description="填系统的名称 | use a name of the system behind it")


class ConsoleChannel(_Named):
    """Log lines."""

    type: Literal["console"]
    concurrency: int = Field(1, ge=1, le=1, description="只能填 1 | use 1")


class AppChannel(_Named):
    """The inbox in the app."""

    type: Literal["app"]


class WebhookChannel(_Named):
    """Signed POST requests, as `LASTMETRE_CHANNEL` with a URL."""

    type: Literal["webhook"]
    url: WebAddress | None = Field(None, description=_URL_HELP)
    url_env: Variable | None = Field(None, description=_ENV_HELP)
    secret_env: Variable = Field(description=_ENV_HELP)
    honours_key: bool = Field(default=True, description="填 true 或 false | use true or false")
    receipts: bool = Field(default=False, description="填 true 或 false：回执是否说明已读 | use true or false: whether its callbacks tell who has read")


class SmsChannel(WebhookChannel):
    """A gateway for text messages that takes signed JSON. `templates`: ids by `kind.party`, `kind` or `default`.

    `confirmed.resident.late` is for a confirmation that a resident gets when the visit is over.
    """

    type: Literal["sms"]  # type: ignore[assignment]
    sign: str = Field("最后一米", min_length=2, max_length=12, description="填 2 至 12 个字的短信签名 | use a signature of 2 to 12 characters")
    templates: dict[str, str] = Field(
        default_factory=dict, description='填模板编号，如 { default = "SMS_1" } | give ids of templates, such as { default = "SMS_1" }'
    )
    key_header: str = Field("Idempotency-Key", pattern=r"^[A-Za-z][A-Za-z-]{0,63}$", description="填请求头名称 | use the name of a header")
    code_field: str = Field("code", min_length=1, description="填返回码的字段名 | use the name of the answer's field that holds its code")
    codes_sent: tuple[str, ...] = Field(("0", "OK"), description=_CODES_HELP)
    codes_later: tuple[str, ...] = Field((), description=_CODES_HELP)
    id_field: str | None = Field(None, min_length=1, description="填回复中消息编号的字段名 | use the name of the answer's field that holds its own number")


class AppriseChannel(_Named):
    """Any service that apprise knows, by its URL; `{to}` in it stands for the person's address."""

    type: Literal["apprise"]
    url_env: Variable = Field(description=_ENV_HELP)
    sign: str | None = Field(None, min_length=2, max_length=12, description="填 2 至 12 个字的短信签名 | use a signature of 2 to 12 characters")
    address: Literal["phone", "email", "wecom", "dingtalk", "feishu"] = Field(
        "phone", description="填保险箱中存放地址的字段 | use the vault's field that holds the address: phone, email, wecom, dingtalk or feishu"
    )


class BotChannel(_Named):
    """A group's robot. `url_env`: apprise's URL, or the robot's own. `endpoint`: an installation of your own instead of the service's host."""

    type: Literal["wecom", "dingtalk", "feishu"]
    url_env: Variable = Field(description=_ENV_HELP)
    endpoint: WebAddress | None = Field(None, description=_URL_HELP)


class EmailChannel(_Named):
    """A mail server. `sender` is the address that mails come from; `domain` stands in Message-ID, usually the sender's."""

    type: Literal["email"]
    host: str = Field(pattern=r"^[A-Za-z0-9.:-]+$", description="填邮件服务器主机名 | use the mail server's host")
    port: int | None = Field(None, ge=1, le=65535, description="填 1 至 65535 | use 1 to 65535")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="填 starttls 或 tls；none 只限本机 | use starttls or tls; none on this machine only"
    )
    sender: str = Field(pattern=r"^[^@\s<>]+@[^@\s<>]+$", description="填发件地址 | use the address that mails come from")
    user_env: Variable | None = Field(None, description=_ENV_HELP)
    password_env: Variable | None = Field(None, description=_ENV_HELP)
    ca_file: Path | None = Field(None, description="填 CA 证书文件路径 | use the path of a file with the authority's certificate")


Config = ConsoleChannel | AppChannel | WebhookChannel | SmsChannel | AppriseChannel | BotChannel | EmailChannel
_TYPES: Final[dict[str, type[Config]]] = {
    "console": ConsoleChannel,
    "app": AppChannel,
    "webhook": WebhookChannel,
    "sms": SmsChannel,
    "apprise": AppriseChannel,
    "wecom": BotChannel,
    "dingtalk": BotChannel,
    "feishu": BotChannel,
    "email": EmailChannel,
}


class Named:
    """One channel: its name, what its section says, and the values of the variables that it names."""

    def __init__(self, name: str, config: Config, secrets: Mapping[str, SecretStr]) -> None:
        self.name = name
        self.config = config
        self._secrets = secrets

    def secret(self, field: str) -> str | None:
        """The value behind `field` + `_env`; None where the section names no variable."""
        found = self._secrets.get(field)
        return None if found is None else found.get_secret_value()

    @property
    def url(self) -> str:
        """The address, from the section or from its variable."""
        found = self.secret("url") or getattr(self.config, "url", None)
        assert isinstance(found, str)  # `_judged`
        return found


def channels_of(text: str, environment: Mapping[str, str] = os.environ) -> dict[str, Named]:
    """The channels that the variable describes, in its order; `text` is JSON, or the path of a TOML or JSON file.

    Raises:
        ValueError: one line in both languages for each thing that is wrong.
    """
    path = None if text.lstrip().startswith("{") else Path(text)
    found = _read(text, path)
    complaints: list[str] = []
    channels: dict[str, Named] = {}
    for name, section in found.items():
        named = _judged(name, section, environment, complaints)
        if named is not None:
            channels[name] = named
    if not found:
        complaints.append(
            "环境变量 LASTMETRE_CHANNELS 不合规：至少写一个通道 | environment variable LASTMETRE_CHANNELS is not valid: describe one channel at least"
        )
    if complaints:
        raise ValueError("\n".join(complaint if path is None else in_file(path, complaint) for complaint in complaints))
    return channels


def in_file(path: Path, complaint: str) -> str:
    """A complaint in both languages, with the file that it is about before each."""
    chinese, _, english = complaint.partition(" | ")
    return f"{path}：{chinese} | {path}: {english}"


def _read(text: str, path: Path | None) -> dict[str, Any]:
    try:
        content = text if path is None else path.read_text(encoding="utf-8")
        found = json.loads(content) if content.lstrip().startswith("{") else tomllib.loads(content)
        if isinstance(found, dict):
            return found
    except OSError as error:
        fault = f"({error.strerror})"
    except ValueError as error:  # of JSON, TOML and UTF-8, which tell the line
        fault = f"({error})"
    raise ValueError(
        f"环境变量 LASTMETRE_CHANNELS 不合规：填可读的 TOML 或 JSON 文件路径，或 JSON 内容{'' if path is None else f'；{path} {fault}'}"
        " | environment variable LASTMETRE_CHANNELS is not valid: use the path of a TOML or JSON file that can be read, or JSON itself"
        f"{'' if path is None else f'; {path} {fault}'}"
    )


def _judged(name: str, section: Any, environment: Mapping[str, str], complaints: list[str]) -> Named | None:
    before = len(complaints)
    if not re.fullmatch(CHANNEL, name):
        complaints.append("通道名称不合规：只用 1 至 32 个小写字母、数字或下划线 | a channel's name is not valid: use 1 to 32 of a-z, 0-9 and _")
        return None
    model = _TYPES.get(str(section.get("type"))) if isinstance(section, dict) else None
    if model is None:
        known = ", ".join(_TYPES)
        complaints.append(f"通道 {name} 的 type 不合规：可用 {known} | channel {name}: type is not valid: use one of {known}")
        return None
    try:
        config = model.model_validate(section)
    except ValidationError as fault:
        errors = fault.errors(include_url=False, include_input=False, include_context=False)
        complaints += [_complaint(name, model, str(error["loc"][0]) if error["loc"] else "type", missing=error["type"] == "missing") for error in errors]
        return None
    secrets = _secrets(name, config, environment, complaints)
    _rules(name, config, secrets, complaints)
    return Named(name, config, secrets) if len(complaints) == before else None


def _complaint(name: str, model: type[BaseModel], field: str, *, missing: bool) -> str:
    if field not in model.model_fields:
        known = ", ".join(model.model_fields)
        return f"通道 {name} 不认识 {field}：可用 {known} | channel {name}: {field} is not known: use {known}"
    chinese, _, english = (model.model_fields[field].description or "见 docs/channels.md | see docs/channels.md").partition(" | ")
    if missing:
        return f"通道 {name} 缺少 {field}：{chinese} | channel {name}: {field} is missing: {english}"
    return f"通道 {name} 的 {field} 不合规：{chinese} | channel {name}: {field} is not valid: {english}"


def _secrets(name: str, config: Config, environment: Mapping[str, str], complaints: list[str]) -> dict[str, SecretStr]:
    found: dict[str, SecretStr] = {}
    for field, variable in config:
        if not field.endswith(_SUFFIX) or variable is None:
            continue
        value = environment.get(variable, "")
        if value:
            found[field.removesuffix(_SUFFIX)] = SecretStr(value)
        else:
            complaints.append(
                f"缺少环境变量 {variable}：通道 {name} 的 {field} 指向它 | environment variable {variable} is missing: {field} of channel {name} names it"
            )
    return found


def _rules(name: str, config: Config, secrets: Mapping[str, SecretStr], complaints: list[str]) -> None:
    """What hangs on several fields."""
    if isinstance(config, WebhookChannel):
        if (config.url is None) == (config.url_env is None):
            complaints.append(f"通道 {name}：url 与 url_env 恰填其一 | channel {name}: give either url or url_env")
        if "secret" in secrets and len(secrets["secret"].get_secret_value()) < _SECRET_LENGTH_MIN:
            complaints.append(
                f"环境变量 {config.secret_env} 不合规：填写至少 16 个字符的密钥"
                f" | environment variable {config.secret_env} is not valid: give a secret of at least 16 characters"
            )
        if "url" in secrets:
            try:
                _web_address(secrets["url"].get_secret_value())
            except ValueError:
                chinese, _, english = _URL_HELP.partition(" | ")
                complaints.append(f"环境变量 {config.url_env} 不合规：{chinese} | environment variable {config.url_env} is not valid: {english}")
    if isinstance(config, EmailChannel):
        if config.security == "none" and config.host not in _LOOPBACK:
            complaints.append(_complaint(name, type(config), "security", missing=False))
        if (config.user_env is None) != (config.password_env is None):
            complaints.append(f"通道 {name}：user_env 与 password_env 须一并填写 | channel {name}: give user_env and password_env together")
        if config.ca_file is not None and not _holds_an_authority(config.ca_file):
            complaints.append(_complaint(name, type(config), "ca_file", missing=False))


def _holds_an_authority(path: Path) -> bool:
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # an SSLError is one
        return False
    return True
