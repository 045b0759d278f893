"""The Message Batches API through the official SDK.

The SDK brings credentials, headers, connections and the retries of reads. Answers are parsed here, because the
SDK does not validate what it receives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from ledger.errors import ProviderRefused, ProviderUnreachable
from scheduler.providers.anthropic.answers import (
    Answer,
    ParamsRefused,
    answered_at,
    call_refused,
    creation_refused,
    read_refused,
)
from scheduler.providers.anthropic.body import BatchBody, CallBody, SentOnce
from scheduler.providers.anthropic.limits import LIMITS, NAME
from scheduler.providers.anthropic.results import called_result, parse_result, split_lines
from scheduler.providers.anthropic.settings import AnthropicSettings
from scheduler.providers.anthropic.status import Page, parse_batch, parse_page
from scheduler.providers.base import (
    Account,
    BatchItem,
    BatchStatus,
    ItemResult,
    ResultsUnavailable,
    SubmissionUncertain,
)

if TYPE_CHECKING:
    import httpx2
    from anthropic import Anthropic, APIStatusError
    from anthropic._types import RequestOptions

__all__ = ["AnthropicBatches"]

_MESSAGES = "/v1/messages"
_BATCHES = f"{_MESSAGES}/batches"
_PAGE_ITEMS = 100
_CONNECT_SECONDS = 5.0
_WORKSPACE_HEADER = "anthropic-workspace-id"

_Parsed = TypeVar("_Parsed")


class AnthropicBatches:
    """`BatchProvider` for Anthropic, safe to share between threads.

    Reads share one SDK client, made at the first of them; every submission has its own.
    """

    name = NAME
    limits = LIMITS

    def __init__(self, settings: AnthropicSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: Anthropic | None = None
        self._heard: datetime | None = None

    def provider_time(self) -> datetime | None:
        return self._heard

    def account(self) -> Account:
        """Base URL, keyed hash of the credential, and the workspace if ANTHROPIC_CUSTOM_HEADERS names one."""
        headers = {name.lower(): value for name, value in self._sdk().default_headers.items()}
        workspace = headers.get(_WORKSPACE_HEADER)
        return Account(
            base_url=self._settings.public_address,
            credential=self._settings.fingerprint(),
            workspace=workspace if isinstance(workspace, str) else None,
        )

    def newest_batch(self) -> BatchStatus | None:
        batches = self._page(limit=1, after=None).batches
        return batches[0] if batches else None

    def create(
        self,
        items: Callable[[], Iterable[BatchItem]],
        *,
        size: int,
        count: int,
        api_version: str,
        betas: tuple[str, ...],
        before_send: Callable[[], None],
    ) -> BatchStatus:
        """One POST, streamed, never repeated and never redirected, on a connection of its own.

        A kept connection may be one that the server is just closing, which would leave the outcome uncertain.
        Until the body is asked for nothing can have been made (`ProviderUnreachable`), and neither by a body
        that `items` or `before_send` cut short. From then on only an answer that plainly says so excludes a batch.
        """
        body = BatchBody(items, size, count, before_send)
        return self._post(_BATCHES, body, api_version, betas, creation_refused, parse_batch)

    def call(
        self, params: bytes, *, api_version: str, betas: tuple[str, ...], before_send: Callable[[], None]
    ) -> ItemResult:
        """One POST, never repeated and never redirected, on a connection of its own; see `create`."""
        body = CallBody(params, before_send)
        try:
            return self._post(_MESSAGES, body, api_version, betas, call_refused, called_result)
        except ParamsRefused as refusal:
            return refusal.result

    def retrieve(self, batch_id: str) -> BatchStatus:
        return self._get(_batch_path(batch_id), parse_batch, {})

    def cancel(self, batch_id: str) -> BatchStatus:
        import httpx2

        path = f"{_batch_path(batch_id)}/cancel"
        with self._reading():
            response = self._sdk().post(path, cast_to=httpx2.Response, options={"follow_redirects": False})
            return self._told(response, parse_batch)

    def list_newer(self, than: str | None) -> Iterator[BatchStatus]:
        """Batches newer than the given id, newest first; every batch if None, or if that id is gone.

        A list that ends before it is complete raises `ProviderUnreachable`.
        """
        after: str | None = None
        while True:
            page = self._page(limit=_PAGE_ITEMS, after=after)
            for batch in page.batches:
                if batch.id == than:
                    return
                yield batch
            if not page.has_more:
                return
            if not page.batches or page.batches[-1].id == after:
                raise ProviderUnreachable("the list of batches breaks off; ask again")
            after = page.batches[-1].id

    def results(self, batch_id: str) -> Iterator[ItemResult]:
        """The lines of an ended batch as they arrive; the connection closes with the iterator."""
        import httpx2

        with closing(self._results_stream(batch_id)) as response:
            try:
                for line in split_lines(response.iter_bytes()):
                    yield parse_result(line)
            except httpx2.HTTPError as error:
                raise ResultsUnavailable(f"the results of {batch_id} broke off: {self._say(error)}") from error

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _post(
        self,
        path: str,
        body: SentOnce,
        api_version: str,
        betas: tuple[str, ...],
        refused: Callable[[Answer], Exception],
        parse: Callable[[bytes], _Parsed],
    ) -> _Parsed:
        import httpx2
        from anthropic import APIStatusError

        headers = {"anthropic-version": api_version, "content-length": str(body.length)}
        if betas:
            headers["anthropic-beta"] = ",".join(betas)
        client = self._connect(retries=0)
        try:
            response = client.post(
                path,
                content=body,
                cast_to=httpx2.Response,
                options={"headers": headers, "follow_redirects": False},
            )
            return self._told(response, parse)
        except APIStatusError as error:
            raise refused(self._answer(error)) from error
        except Exception as error:
            if body.failure is not None:
                raise body.failure from None
            if not body.started:
                raise self._unreachable(error) from error
            raise SubmissionUncertain(f"the submission broke off: {self._say(error)}") from error
        finally:
            client.close()

    def _results_stream(self, batch_id: str) -> httpx2.Response:
        import httpx2
        from anthropic import Stream

        try:
            status = self.retrieve(batch_id)
            if not status.results_url:
                raise ResultsUnavailable(f"batch {batch_id} ({status.state}) has no results to read")
            with self._reading():
                # Asked for httpx2's own class the SDK hands out the open response itself, not a Stream.
                return self._sdk().get(  # type: ignore[return-value]
                    status.results_url,
                    cast_to=httpx2.Response,
                    options={"headers": {"accept": "application/binary"}},
                    stream=True,
                    stream_cls=Stream[Any],
                )
        except ProviderRefused as error:
            if error.status != 404:
                raise
            raise ResultsUnavailable(f"batch {batch_id} is not there (yet): {error}") from error

    def _page(self, *, limit: int, after: str | None) -> Page:
        query = {"limit": limit} if after is None else {"limit": limit, "after_id": after}
        return self._get(_BATCHES, parse_page, query)

    def _get(self, path: str, parse: Callable[[bytes], _Parsed], query: Mapping[str, object]) -> _Parsed:
        import httpx2

        # A redirect of the base URL would keep reads going and every submission uncertain: say so at the first read.
        options: RequestOptions = {"params": query, "follow_redirects": False}
        with self._reading():
            response = self._sdk().get(path, cast_to=httpx2.Response, options=options)
            return self._told(response, parse)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn the SDK's errors into ours, where asking again can do no harm."""
        import httpx2
        from anthropic import AnthropicError, APIStatusError

        try:
            yield
        except APIStatusError as error:
            raise read_refused(self._answer(error)) from error
        except (msgspec.MsgspecError, UnicodeError) as error:
            url = self._settings.public_address
            raise ProviderUnreachable(f"{url} does not answer like the Message Batches API: {error}") from error
        except (AnthropicError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._unreachable(error) from error

    def _sdk(self) -> Anthropic:
        with self._lock:
            if self._client is None:
                self._client = self._connect(self._settings.read_retries)
            return self._client

    def _connect(self, retries: int) -> Anthropic:
        from anthropic import Anthropic, Timeout

        settings = self._settings
        secret = "api_key" if settings.api_key else "auth_token"
        seconds = settings.timeout_seconds
        return Anthropic(
            **{secret: settings.credential},  # type: ignore[arg-type]
            base_url=settings.address,
            timeout=Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)),
            max_retries=retries,
        )

    def _told(self, response: httpx2.Response, parse: Callable[[bytes], _Parsed]) -> _Parsed:
        """What an answer says. Only one that is the API's own also tells the time."""
        parsed = parse(response.content)
        self._listen(response)
        return parsed

    def _listen(self, response: httpx2.Response) -> None:
        """Note what the provider's clock says."""
        told = answered_at(response.headers)
        with self._lock:
            if told is not None and (self._heard is None or told > self._heard):
                self._heard = told

    def _answer(self, error: APIStatusError) -> Answer:
        if error.type:  # the API's own words: a gateway's error page may have a clock of its own
            self._listen(error.response)
        return Answer(
            status=error.status_code,
            headers={name.lower(): value for name, value in error.response.headers.items()},
            kind=error.type or "",
            message=self._redacted(error.api_message or ""),
        )

    def _unreachable(self, error: Exception) -> ProviderUnreachable:
        return ProviderUnreachable(f"cannot reach {self._settings.public_address}: {self._say(error)}")

    def _say(self, error: Exception) -> str:
        cause = error.__cause__ or error
        return self._redacted(f"{cause} ({type(cause).__name__})")

    def _redacted(self, text: str) -> str:
        return text.replace(self._settings.credential, "[credential]")


def _batch_path(batch_id: str) -> str:
    return f"{_BATCHES}/{quote(batch_id, safe='')}"
