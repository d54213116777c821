"""JSON read strictly: UTF-8, no NaN, no bottomless nesting, and no key twice in one object.

A parser keeps only the last value of a key that is there twice, so two systems would read two events, and the value
nobody sees would travel on. The common case, compact JSON, is told by writing the document again and comparing bytes;
the slow look is for texts with blanks inside strings, escapes or odd numbers. A whole number of more than 64 bits stays one, and is for
the reader to refuse: the fast parser makes another number of it.
"""

import json
from typing import Any, Final

import orjson

from schemas import errors
from schemas.errors import InvalidEvent

WHOLE_MAX: Final = 2**63 - 1
_DIGITS: Final = 18  # so many never make more than that
_BLANKS: Final = b" \n\r\t"


class _RepeatedKey(Exception):
    pass


def parse(value: bytes, where: str) -> Any:
    """JSON as Python objects, or InvalidEvent with the reason why not; `where` names the text in the message."""
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        if "memory" in error.msg:  # said by the parser of a sound text as well: another reason, and another's fault
            raise MemoryError from None
        raise _fault(value, str(error), where) from None
    wide: list[int] = []
    try:
        if hides_something(document, value, wide):
            words = ("同一对象中有重复的键，每个键只保留一个", "a key is there twice in one object: send each key once")
            raise InvalidEvent(errors.INVALID_FIELD, where, words)
    except TypeError:  # its only cause here: more levels than orjson writes
        raise InvalidEvent(errors.TOO_DEEP, where) from None
    return json.loads(value) if wide else document


def is_wide(number: float) -> bool:
    """Whether it is a whole number of more than 64 bits: many readers make another one of it."""
    return isinstance(number, int) and abs(number) > WHOLE_MAX


def hides_something(document: Any, value: bytes, wide: list[int] | None = None) -> bool:
    """Whether the text `value`, read as `document`, holds a key twice. TypeError when it is nested too deeply to tell.

    `wide` gets the whole numbers of more than 64 bits that stand there.
    """
    written = orjson.dumps(document)
    # The second comparison: where only blanks differ, nothing was dropped between the tokens.
    if written == value or written.translate(None, _BLANKS) == value.translate(None, _BLANKS):
        return False

    def see(digits: str) -> None:
        if wide is not None and len(digits) > _DIGITS and is_wide(number := int(digits)):
            wide.append(number)

    try:
        json.loads(value, object_pairs_hook=_refuse_repeats, parse_int=see, parse_float=len)
    except _RepeatedKey:
        return True
    return False


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _RepeatedKey


def _fault(value: bytes, detail: str, where: str) -> InvalidEvent:
    try:
        value.decode()
    except UnicodeDecodeError:
        return InvalidEvent(errors.BAD_ENCODING, where)
    if "depth" in detail or "recursion" in detail:
        return InvalidEvent(errors.TOO_DEEP, where)
    if "infinity" in detail:
        return InvalidEvent(errors.INVALID_FIELD, where, ("有数字过大", "it holds a number that is too large"))
    return InvalidEvent(errors.NOT_JSON, where)
