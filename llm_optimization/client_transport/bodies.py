"""The body of an answer on its way to the SDK: every piece is handed on as it comes, and heard.

It is over at its end, in an error, when the SDK closes it early, or when nobody holds it any more. What is cancelled
or collected as garbage does not wait for its record.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from llm_optimization.client_transport.attempt import Attempt
from llm_optimization.recording import FinishedCall
from llm_optimization.recording.unended import begun
from llm_optimization.wrapping.optimization import Optimization

__all__ = ["AsyncBody", "Body"]


class _Heard:
    """Around `stream`, the body as the HTTP library has it."""

    def __init__(self, stream: Any, attempt: Attempt, optimization: Optimization) -> None:
        self._stream = stream
        self._attempt = attempt
        self._optimization = optimization
        self._process = begun(self)

    def __del__(self) -> None:
        with suppress(Exception):  # half made, or at the interpreter's end
            self.leave()

    def leave(self) -> None:
        """Nobody will hear the rest of it any more."""
        self._left(None)

    def _left(self, error: BaseException | None) -> None:
        if (call := self._over(error)) is not None:
            self._optimization.record_behind(call)

    def _over(self, error: BaseException | None) -> FinishedCall | None:
        """The record of the call, which is over now. None if it was over before, or is another process's."""
        return self._attempt.over(error) if self._process == os.getpid() else None


class Body(_Heard):
    """To be mixed with the library's `SyncByteStream`."""

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._stream:
                self._attempt.heard(piece)
                yield piece
        except Exception as error:
            self.tell(error)
            raise
        except BaseException as error:
            self._left(error)
            raise
        self.tell()

    def close(self) -> None:
        """Close the library's body. What was not read by now is not read any more."""
        try:
            self._stream.close()
        finally:
            self.tell()

    def tell(self, error: BaseException | None = None) -> None:
        """Record the attempt, unless it is recorded."""
        if (call := self._over(error)) is not None:
            self._optimization.record(call)


class AsyncBody(_Heard):
    """To be mixed with the library's `AsyncByteStream`."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                self._attempt.heard(piece)
                yield piece
        except Exception as error:
            await self.tell(error)
            raise
        except BaseException as error:
            self._left(error)
            raise
        await self.tell()

    async def aclose(self) -> None:
        """`Body.close`."""
        try:
            await self._stream.aclose()
        finally:
            await self.tell()

    async def tell(self, error: BaseException | None = None) -> None:
        """`Body.tell`."""
        if (call := self._over(error)) is not None:
            await self._optimization.arecord(call)
