"""Connections to the API: the SDK's client for reads, and under it an http client of its kind for what is sent once.

The SDK brings credentials, headers and the retries of reads. Its 2.x builds on `httpx2` and its 0.x and 1.x on
`httpx`, which are twins; each takes objects of its own kind only. Just what both lines offer in public is used here.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scheduler.providers.anthropic.body import SentOnce
from scheduler.providers.anthropic.settings import AnthropicSettings

if TYPE_CHECKING:
    import httpx2
    from anthropic import Anthropic, RequestOptions

__all__ = ["Connection", "http_library"]

_CONNECT_SECONDS = 5.0


@functools.cache
def http_library() -> Any:
    """`httpx2` or `httpx`: the module that the installed SDK builds on."""
    from anthropic import DefaultHttpxClient

    names = (each.__module__.partition(".")[0] for each in DefaultHttpxClient.__mro__)
    return sys.modules[next(name for name in names if name in ("httpx2", "httpx"))]


class Connection:
    """One pool of connections under one credential, safe to share between threads.

    No redirect is followed, except to the results. Raises what the SDK raises for reads (`AnthropicError` and the
    errors of `http_library()`), and of `send_once` those of `http_library()` alone.
    """

    def __init__(self, settings: AnthropicSettings, *, read_retries: int) -> None:
        from anthropic import DefaultHttpxClient

        seconds = settings.timeout_seconds
        timeout = http_library().Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))
        self._base_url = settings.address
        self._http = DefaultHttpxClient(timeout=timeout, proxy=settings.way)
        self._sdk = self._made(settings, timeout, read_retries)

    def headers(self) -> dict[str, str]:
        """What every request carries, names in lower case: the credential, and headers that were set."""
        headers = {}
        for name, value in self._sdk.default_headers.items():
            if isinstance(value, str):  # anything else is the SDK's mark for a header left out
                headers[name.lower()] = value
            else:
                headers.pop(name.lower(), None)
        return headers

    def send_once(self, path: str, body: SentOnce, headers: Mapping[str, str]) -> httpx2.Response:
        """One POST, never repeated: the answer, whatever its status."""
        announced = {**self.headers(), **headers, "content-length": str(body.length)}
        request = self._http.build_request("POST", f"{self._base_url}{path}", headers=announced, content=body)
        return self._http.send(request, follow_redirects=False)

    def get(self, path: str, query: Mapping[str, object]) -> httpx2.Response:
        # A redirect of the base URL would keep reads going and every submission uncertain: say so at the first read.
        options: RequestOptions = {"params": query, "follow_redirects": False}
        return self._sdk.get(path, cast_to=_response(), options=options)

    def post(self, path: str) -> httpx2.Response:
        return self._sdk.post(path, cast_to=_response(), options={"follow_redirects": False})

    def stream(self, url: str) -> httpx2.Response:
        """The open answer to a GET, for the caller to read and to close."""
        from anthropic import Stream

        return self._sdk.get(  # type: ignore[return-value]
            url,
            cast_to=_response(),
            options={"headers": {"accept": "application/binary"}},
            stream=True,
            stream_cls=Stream[Any],
        )

    def close(self) -> None:
        self._sdk.close()

    def _made(self, settings: AnthropicSettings, timeout: Any, read_retries: int) -> Anthropic:
        from anthropic import Anthropic

        credential, by_key = settings.credential, bool(settings.api_key)
        made = Anthropic(
            api_key=credential if by_key else None,
            auth_token=None if by_key else credential,
            base_url=settings.address,
            timeout=timeout,
            max_retries=read_retries,
            default_headers=_set_headers(settings),
            http_client=self._http,
        )
        # 0.x adds whatever else it finds in the environment.
        made.api_key, made.auth_token = (credential, None) if by_key else (None, credential)
        return made


def _set_headers(settings: AnthropicSettings) -> dict[str, str]:
    """Those of the settings, and under them those of the environment."""
    headers = _named_in_the_environment()
    spelled = {name.lower(): name for name in headers}  # or else the SDK would send both
    for name, value in settings.headers:
        if name.lower() != "anthropic-beta":
            headers[spelled.get(name.lower(), name)] = value
    return headers


def _named_in_the_environment() -> dict[str, str]:
    """ANTHROPIC_CUSTOM_HEADERS, a `name: value` a line; early 0.x do not read it themselves."""
    lines = os.environ.get("ANTHROPIC_CUSTOM_HEADERS", "").split("\n")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _response() -> type[httpx2.Response]:
    """What the SDK is asked for: of this class it hands out the response itself, unread or not, parsing nothing."""
    return http_library().Response  # type: ignore[no-any-return]
