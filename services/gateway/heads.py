"""What is read of a connection beside bodies is bounded, and how long it may keep still.

uvicorn with httptools collects a head of any length, and whatever comes behind a body in chunks, and waits for a head that never ends.
"""

import asyncio
from typing import Any, Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX: Final = 64 * 1024
"""Bytes of a head after the first read from its connection, which holds all of an ordinary one; and of what follows a body."""
HEAD_SECONDS: Final = 60.0
"""So long a connection may have nobody asking: from its beginning, or from the end of an answer, to the end of a head."""
_BESIDE_A_BYTE: Final = 8
"""Bytes that a byte of a body may take beside itself: in chunks of one each they are five."""
_BODY: Final = orjson.dumps(
    {
        "code": "head_too_large",
        "zh": "请求头超过 64 KiB，请减少 Cookie 或请求头后重发",
        "en": "the head of this request is larger than 64 KiB: send fewer cookies or headers",
    }
)
_ANSWER: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(_BODY) + _BODY
)


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's own, which ends a connection whose head goes on and on, or whose body has more around it than in it, or from which nothing is asked."""

    _in_message = False
    _read_bytes = 0
    _body_bytes = 0
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Somebody is there, who has asked for nothing yet."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        self._wait_no_more()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_message, self._read_bytes, self._body_bytes = True, 0, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """It has ended."""
        self._read_bytes = 0
        self._wait_no_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All is there."""
        self._in_message = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """It was answered."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait()

    def data_received(self, data: bytes) -> None:
        """What was read; of a message that had begun before and has not ended it counts."""
        began_before = self._in_message
        super().data_received(data)
        if began_before and self._in_message and not self.transport.is_closing():
            self._read_bytes += len(data)
            if self._read_bytes - self._body_bytes > HEAD_MAX + _BESIDE_A_BYTE * self._body_bytes:
                if not self._is_answering():
                    self.transport.write(_ANSWER)
                self.transport.close()

    def _wait(self) -> None:
        self._wait_no_more()
        self._waiting = self.loop.call_later(HEAD_SECONDS, self._nobody_asks)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _nobody_asks(self) -> None:
        """Whoever asked behind another one, and waited for that one's answer, has theirs first."""
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()

    def _is_answering(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and cycle.response_started and not cycle.response_complete
