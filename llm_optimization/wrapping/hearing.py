"""A model's HTTP client, with an ear on it: what the SDK repeats by itself is heard attempt by attempt.

An attempt whose answer was lost may be billed, however the call ends that it belongs to.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

from llm_optimization.http_front import Front, client_kind, front_class
from llm_optimization.patches import patched
from llm_optimization.wrapping.calls import current_call
from llm_optimization.wrapping.mishaps import mishap

__all__ = ["heard"]

_heard: Final[WeakKeyDictionary[Any, Any]] = WeakKeyDictionary()


def heard(client: Any) -> Any:
    """An anthropic client like this one, whose attempts the call under way hears; the same one each time.

    The very client where something of it was replaced: a copy would not have that.
    """
    if patched(client) is not None:
        return client
    found = _heard.get(client)
    if found is None:
        try:
            found = client.with_options(http_client=_in_front_of(client._client))  # noqa: SLF001 - it has no other name
        except Exception as error:
            mishap("attempts of the SDK cannot be heard", error)
            found = client
        _heard[client] = found
    return found


def _in_front_of(inner: Any) -> Any:
    kind = client_kind(inner)
    return front_class(kind, _Hearing if kind.__name__ == "Client" else _AsyncHearing)(inner)


class _Hearing(Front):
    def send(self, request: Any, **options: Any) -> Any:
        """Send a request as the client behind does."""
        call = current_call()
        if call is None:
            return self.inner.send(request, **options)
        with call.attempt() as attempt:
            response = self.inner.send(request, **options)
            attempt.answered(response.status_code)
        return response


class _AsyncHearing(Front):
    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request as the client behind does."""
        call = current_call()
        if call is None:
            return await self.inner.send(request, **options)
        with call.attempt() as attempt:
            response = await self.inner.send(request, **options)
            attempt.answered(response.status_code)
        return response
