"""A request on its way out: what it asks, and the forms in which it may be sent."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from llm_optimization.cache_manager import CacheManager
from llm_optimization.client_transport.labels import Labels, taken_labels
from llm_optimization.wrapping.mishaps import mishap
from llm_optimization.wrapping.sampling import say_dropped
from scheduler.providers.anthropic import settle_sampling

__all__ = ["Form", "Outgoing", "outgoing"]

_PATH: Final = "/v1/messages"
_VERSION: Final = "anthropic-version"
_BETAS: Final = "anthropic-beta"


class Form(msgspec.Struct, frozen=True):
    """One form of a request: an `httpx` or `httpx2` Request, and the params in its body."""

    request: Any
    params: dict[str, Any]


class Outgoing(msgspec.Struct, frozen=True):
    """The forms of one request, the best first: where it got markers, also the one without them."""

    forms: tuple[Form, ...]
    labels: Labels


def outgoing(request: Any, cache_manager: CacheManager | None) -> Outgoing | None:
    """How to send a request that creates a message; None for any other, and for one that nobody can read.

    The body stays the very bytes it was unless something in it has to change. Our own headers are taken off, whatever
    the request is. Raises nothing.
    """
    try:
        labels = taken_labels(request.headers)
        if request.method != "POST" or not request.url.path.endswith(_PATH):
            return None
        return Outgoing(_forms(request, cache_manager), labels)
    except Exception as error:
        mishap("a request cannot be read", error)
        return None


def _forms(request: Any, cache_manager: CacheManager | None) -> tuple[Form, ...]:
    given = msgspec.json.decode(request.content, type=dict[str, Any])
    plain = Form(request, given)
    settled = settle_sampling(given)
    # Never to a newer version than the client asks for: it may read the answers of its own only.
    if settled.api_version < request.headers.get(_VERSION, ""):
        request.headers[_VERSION] = settled.api_version
    if settled.dropped:
        say_dropped(str(given.get("model")), settled.dropped)
    if len(settled.params) < len(given):
        plain = Form(_with_body(request, settled.params), settled.params)
    if cache_manager is None:
        return (plain,)
    marked = cache_manager.mark_params(plain.params).params
    return (plain,) if marked is plain.params else (Form(_with_body(request, marked), dict(marked)), plain)


def _with_body(request: Any, params: Any) -> Any:
    body = msgspec.json.encode(params)
    headers = request.headers.copy()
    headers["content-length"] = str(len(body))
    return type(request)(
        method=request.method, url=request.url, headers=headers, content=body, extensions=request.extensions
    )
