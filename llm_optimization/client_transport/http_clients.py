"""An HTTP client that is another one, but for what is done with requests that create messages."""

from __future__ import annotations

from typing import Any, Final

from llm_optimization.client_transport.attempt import Attempt, refusal
from llm_optimization.client_transport.bodies import AsyncBody, Body
from llm_optimization.client_transport.outgoing import outgoing
from llm_optimization.http_front import Front, client_kind, front_class
from llm_optimization.wrapping.mishaps import mishap
from llm_optimization.wrapping.optimization import Optimization

__all__ = ["observing"]

_BAD_REQUEST: Final = 400


def observing(inner: Any, optimization: Optimization) -> Any:
    """A client of the class that `inner` is of: `Client` or `AsyncClient`, of `httpx` or `httpx2`.

    One that observes already is taken off first. `TypeError` for an object that is no such client.
    """
    if isinstance(inner, _Observing):
        inner = inner.inner
    kind = client_kind(inner)
    if kind.__name__ == "Client":
        return front_class(kind, _Client, _body)(inner, optimization)
    return front_class(kind, _AsyncClient, _async_body)(inner, optimization)


class _Observing(Front):
    """What both have in common."""

    body: Any

    def __init__(self, inner: Any, optimization: Optimization) -> None:
        super().__init__(inner)
        self._optimization = optimization

    def _attempts(self, request: Any) -> list[Attempt]:
        """How to send a request: as the last of them, unless one before it is taken. None: it is not for us."""
        sent = outgoing(request, self._optimization.cache_manager if self._optimization.marks else None)
        return [Attempt(self._optimization, form, sent.labels) for form in sent.forms] if sent is not None else []

    def _hear(self, response: Any, attempt: Attempt) -> None:
        """Have the body of a response heard. Raises nothing."""
        try:
            attempt.answered(response)
            if not response.is_closed:
                response.stream = self.body(response.stream, attempt, self._optimization)
        except Exception as error:
            mishap("an answer cannot be heard", error)


class _Client(_Observing):
    def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        """Send a request, at most a second time without markers. Raises what the given client raises."""
        attempts = self._attempts(request)
        if not attempts:
            return self.inner.send(request, stream=stream, **options)
        *marked, plain = attempts
        for attempt in marked:
            response = self._sent(attempt, stream=stream, **options)
            if response.status_code != _BAD_REQUEST or not (refused := refusal(response.read())):
                return response
            mishap("the provider refused the cache markers of a request", refused)
        return self._sent(plain, stream=stream, **options)

    def _sent(self, attempt: Attempt, *, stream: bool, **options: Any) -> Any:
        try:
            response = self.inner.send(attempt.form.request, stream=True, **options)
        except BaseException as error:
            self._tell(attempt, error)
            raise
        self._hear(response, attempt)
        if response.is_closed:  # somebody has read it
            self._tell(attempt)
        elif not stream:
            try:
                response.read()
            except BaseException:
                response.close()
                raise
        return response

    def _tell(self, attempt: Attempt, error: BaseException | None = None) -> None:
        if (call := attempt.over(error)) is not None:
            self._optimization.record(call)


class _AsyncClient(_Observing):
    async def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        """Send a request, at most a second time without markers. Raises what the given client raises."""
        attempts = self._attempts(request)
        if not attempts:
            return await self.inner.send(request, stream=stream, **options)
        *marked, plain = attempts
        for attempt in marked:
            response = await self._sent(attempt, stream=stream, **options)
            if response.status_code != _BAD_REQUEST or not (refused := refusal(await response.aread())):
                return response
            mishap("the provider refused the cache markers of a request", refused)
        return await self._sent(plain, stream=stream, **options)

    async def _sent(self, attempt: Attempt, *, stream: bool, **options: Any) -> Any:
        try:
            response = await self.inner.send(attempt.form.request, stream=True, **options)
        except BaseException as error:
            await self._tell(attempt, error)
            raise
        self._hear(response, attempt)
        if response.is_closed:  # somebody has read it
            await self._tell(attempt)
        elif not stream:
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response

    async def _tell(self, attempt: Attempt, error: BaseException | None = None) -> None:
        call = attempt.over(error)
        if call is not None and (error is None or isinstance(error, Exception)):
            await self._optimization.arecord(call)
        elif call is not None:  # cancelled: nobody waits for it any more
            self._optimization.record_behind(call)


def _body(library: Any) -> dict[str, Any]:
    return {"body": type("Body", (Body, library.SyncByteStream), {})}


def _async_body(library: Any) -> dict[str, Any]:
    return {"body": type("AsyncBody", (AsyncBody, library.AsyncByteStream), {})}
