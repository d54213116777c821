"""The head of a request is bounded: uvicorn with httptools collects one of any length, and whoever never ends theirs would fill the memory."""

from typing import Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX: Final = 64 * 1024
"""Bytes of a head after the first read from its connection, which holds all of an ordinary one."""
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
    """uvicorn's own, which ends a connection whose head goes on and on."""

    _in_head = False
    _head_bytes = 0

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """It has ended."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """What was read; of a head that had begun before and has not ended it counts."""
        began_before = self._in_head
        super().data_received(data)
        if began_before and self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX:
                self.transport.write(_ANSWER)
                self.transport.close()
