"""Whom a reference means to the channels: a person's wishes and their addresses at each channel.

`exchange` asks once an attempt, for all who wait at that moment together. Two answer here: one that knows nobody and gives everybody the configured
channel, and a file, for demonstrations and tests; the vault's is in `people`.
Nothing of an address is ever logged, nor in an error.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.personal import mask
from services.notifier.channel_settings import in_file
from services.notifier.notices import Language
from services.notifier.routes import Preferences

_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)$")
_QUIET: Final = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of one person; `addresses` by channel, kept out of every `repr`."""

    wants: Preferences
    addresses: Mapping[str, str] = field(default_factory=dict, repr=False)


class Sought(NamedTuple):
    """Who is looked up, and why: for a notice of which kind, about which match or wish."""

    ref: str
    kind: str = ""
    match_id: str | None = None
    wish_id: str | None = None


class DirectoryAway(Exception):
    """The directory does not answer just now; asked again later, it may."""


class NoRoute(Exception):
    """This person must not be told this, on no channel; `reason` is a code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Found = Person | DirectoryAway | NoRoute


class Directory(Protocol):
    """From references to people."""

    async def find(self, sought: Sequence[Sought]) -> list[Found]:
        """What is known of each, in their order; somebody unknown gets what is usual, and of whom it can't be told now, or must not, there is the reason.

        Raises:
            DirectoryAway: it can't be told of anybody now.
        """

    async def close(self) -> None:
        """Let go of connections."""


class Everyone:
    """Nobody is known: the same channels for all."""

    def __init__(self, *channels: str) -> None:
        self._person = Person(Preferences(channels))

    async def find(self, sought: Sequence[Sought]) -> list[Found]:
        """The usual, whoever it is."""
        return [self._person] * len(sought)

    async def close(self) -> None:
        """Nothing to let go of."""


class _Entry(BaseModel):
    """What the file says of one person."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    channels: list[str] | None = Field(None, min_length=1, description="填通道名称的列表，先用的在前 | use a list of channels' names, the first to try first")
    language: Language | None = Field(None, description="填 zh-CN 或 en | use zh-CN or en")
    quiet: Annotated[str, Field(pattern=_QUIET)] | None = Field(None, description="填 22:00-07:00 这样的当地时间 | use local times such as 22:00-07:00")
    budget: int | None = Field(None, ge=0, description="填每天的通知数 | use a number of notices a day")
    addresses: dict[str, str] = Field(default_factory=dict, description="按通道名称填地址 | give addresses by channel")


class BadDirectory(Exception):
    """The file does not hold; `str()` has one line in both languages a fault, naming who and which field, and no address."""


def _entry(who: str, found: object) -> _Entry:
    try:
        return _Entry.model_validate(found)
    except ValidationError as fault:
        errors = fault.errors(include_url=False, include_input=False, include_context=False)
    raise BadDirectory("\n".join(_complaint(mask(who), str(error["loc"][0]) if error["loc"] else "") for error in errors))


def _parsed(path: Path) -> dict[str, Any]:
    """The file's content. Of what is no TOML the place is named and nothing is quoted: it may be somebody's number."""
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise BadDirectory(
            f"通讯录不是可读的 TOML 文件（{fault.strerror}），请核对路径与权限"
            f" | the directory is not a TOML file that can be read ({fault.strerror}): see that the path is right and that we may read it"
        ) from None
    try:
        return tomllib.loads(content.decode("utf-8-sig"))  # with the mark that editors on Windows put before it
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise BadDirectory(f"通讯录第 {line} 行不是 UTF-8，请以 UTF-8 保存 | the directory, line {line}: not UTF-8: save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as fault:
        found = _LINE.search(str(fault))
        line = int(found[1]) if found else content.count(b"\n") + 1
    raise BadDirectory(
        f"通讯录第 {line} 行不是可读的 TOML：请看是否有人写了两次，引号或括号是否缺了一半，文件是否只写到一半"
        f" | the directory, line {line}: not a TOML file that can be read: see whether somebody is there twice, a quotation mark or bracket is missing,"
        " or the file ends too soon"
    )


def _complaint(who: str, name: str) -> str:
    if not name:
        return f"通讯录 {who} 不是一张表：请写成 [people.编号] | directory, {who}: not a table: write it as [people.REF]"
    described = _Entry.model_fields[name].description if name in _Entry.model_fields else None
    known = ", ".join(_Entry.model_fields)
    chinese, _, english = (described or f"只可用 {known} | use only {known}").partition(" | ")
    return f"通讯录 {who} 的 {name} 不合规：{chinese} | directory, {who}: {name} is not valid: {english}"


class FileDirectory:
    """People from a TOML file: `[default]` for all, `[people."ref"]` for one, whose entries count before."""

    def __init__(self, people: Mapping[str, Person], default: Person) -> None:
        self._people = people
        self._default = default

    @classmethod
    def read(cls, path: Path, channels: tuple[str, ...], usual: str) -> "FileDirectory":
        """The directory in a file. `channels`: all names there are; `usual`: the one where the file names none.

        Raises:
            BadDirectory: the file can't be read, or an entry is not valid.
        """
        try:
            return cls._read(path, channels, usual)
        except BadDirectory as fault:
            raise BadDirectory("\n".join(in_file(path, line) for line in str(fault).splitlines())) from None

    @classmethod
    def _read(cls, path: Path, channels: tuple[str, ...], usual: str) -> "FileDirectory":
        found = _parsed(path)
        if set(found) - {"default", "people"} or not isinstance(found.get("people", {}), dict):
            raise BadDirectory("通讯录只可有 [default] 和 [people.编号] 两类 | the directory has sections other than [default] and [people.REF]: take them out")
        default = _entry("default", found.get("default", {}))
        people = {ref: _entry(ref, entry) for ref, entry in found.get("people", {}).items()}
        for who, entry in (("default", default), *people.items()):
            if strange := sorted({*(entry.channels or ()), *entry.addresses} - set(channels)):
                known, names, whose = ", ".join(channels), mask(", ".join(strange)), mask(who)
                raise BadDirectory(f"通讯录 {whose} 的通道 {names} 不存在：现有 {known} | directory, {whose}: no such channel as {names}: there are {known}")
        return cls({ref: _person(entry, default, usual) for ref, entry in people.items()}, _person(default, default, usual))

    async def find(self, sought: Sequence[Sought]) -> list[Found]:
        """Their entries, or the default."""
        return [self._people.get(one.ref, self._default) for one in sought]

    async def close(self) -> None:
        """Nothing to let go of."""


def _person(entry: _Entry, default: _Entry, usual: str) -> Person:
    quiet = entry.quiet if entry.quiet is not None else default.quiet
    begin, _, end = (quiet or "").partition("-")
    wants = Preferences(
        tuple(entry.channels or default.channels or [usual]),
        entry.language or default.language,
        (time.fromisoformat(begin), time.fromisoformat(end)) if quiet else None,
        entry.budget if entry.budget is not None else default.budget,
    )
    return Person(wants, {**default.addresses, **entry.addresses})
