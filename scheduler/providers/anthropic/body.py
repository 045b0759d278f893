"""The body of a POST that is made once: framed around the caller's own bytes, and never held in memory whole."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator

from scheduler.providers.base import BatchItem

__all__ = ["BatchBody", "CallBody", "SentOnce", "framed_size"]

_HEAD = b'{"requests":['
_ITEM = b'{"custom_id":"%b","params":%b}'
_TAIL = b"]}"
_ITEM_FRAME = len(_ITEM % (b"", b""))
_CHUNK_BYTES = 128 * 1024
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def framed_size(size: int, count: int) -> int:
    """Bytes of the whole body: `size` is the sum of `BatchItem.size`, `count` the number of items."""
    return len(_HEAD) + size + count * _ITEM_FRAME + max(count - 1, 0) + len(_TAIL)


class SentOnce(ABC):
    """Chunks of a body whose length is announced beforehand, so that a body cut short does nothing.

    `before_send` runs when the first chunk is asked for: the connection stands then, and no byte of the body has
    left. `started` tells that it was asked for; `failure` is what `before_send` or making the chunks raised. Then
    the last bytes are withheld: the server, still waiting for the rest, cannot have done anything.
    """

    def __init__(self, length: int, before_send: Callable[[], None]) -> None:
        self._before_send = before_send
        self.length = length
        self.started = False
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        self.started = True
        try:
            self._before_send()
            yield from self._chunks()
        except Exception as error:
            self.failure = error
            raise

    @abstractmethod
    def _chunks(self) -> Iterator[bytes]:
        """The body, piece by piece."""


class CallBody(SentOnce):
    """The params of a standard call."""

    def __init__(self, params: bytes, before_send: Callable[[], None]) -> None:
        super().__init__(len(params), before_send)
        self._params = params

    def _chunks(self) -> Iterator[bytes]:
        yield self._params


class BatchBody(SentOnce):
    """The body of a batch creation. Its last bytes are withheld, too, unless the items came out as announced."""

    def __init__(
        self, items: Callable[[], Iterable[BatchItem]], size: int, count: int, before_send: Callable[[], None]
    ) -> None:
        super().__init__(framed_size(size, count), before_send)
        self._items = items
        self._size = size
        self._count = count

    def _chunks(self) -> Iterator[bytes]:
        size = count = 0
        buffer = bytearray(_HEAD)
        for item in self._items():
            if not _CUSTOM_ID.fullmatch(item.custom_id):
                raise ValueError(f"custom_id {item.custom_id[:80]!r} is not one that Anthropic takes")
            if count:
                buffer += b","
            buffer += _ITEM % (item.custom_id.encode("ascii"), item.params)
            size += item.size
            count += 1
            if len(buffer) >= _CHUNK_BYTES:
                yield bytes(buffer)
                buffer.clear()
        if (size, count) != (self._size, self._count):
            announced = f"{self._count} items of {self._size} bytes"
            raise ValueError(f"the batch was announced with {announced} and came out with {count} of {size}")
        yield bytes(buffer + _TAIL)
