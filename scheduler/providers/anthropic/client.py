"""The Message Batches API through the official SDK.

`connection` brings the SDK of whichever line. Answers are parsed here, because the SDK does not validate what it
receives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import msgspec

from ledger.errors import ProviderRefused, ProviderUnreachable
from scheduler.providers.anthropic.answers import (
    Answer,
    ParamsRefused,
    answered_at,
    call_refused,
    creation_refused,
    read_answer,
    read_refused,
)
from scheduler.providers.anthropic.body import BatchBody, CallBody, SentOnce
from scheduler.providers.anthropic.connection import Connection, http_library
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

__all__ = ["AnthropicBatches"]

_MESSAGES = "/v1/messages"
_BATCHES = f"{_MESSAGES}/batches"
_PAGE_ITEMS = 100
_WORKSPACE_HEADER = "anthropic-workspace-id"

_Parsed = TypeVar("_Parsed")


class AnthropicBatches:
    """`BatchProvider` for Anthropic, safe to share between threads.

    Reads share one `Connection`, made at the first of them; every submission has its own.
    """

    name = NAME
    limits = LIMITS

    def __init__(self, settings: AnthropicSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._heard: datetime | None = None

    def provider_time(self) -> datetime | None:
        return self._heard

    def account(self) -> Account:
        """Base URL, keyed hash of the credential, and the workspace if a header names one."""
        return Account(
            base_url=self._settings.public_address,
            credential=self._settings.fingerprint(),
            workspace=self._shared().headers().get(_WORKSPACE_HEADER),
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
        with self._reading():
            return self._told(self._shared().post(f"{_batch_path(batch_id)}/cancel"), parse_batch)

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
        with closing(self._results_stream(batch_id)) as response:
            try:
                for line in split_lines(response.iter_bytes()):
                    yield parse_result(line)
            except http_library().HTTPError as error:
                raise ResultsUnavailable(f"the results of {batch_id} broke off: {self._say(error)}") from error

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _post(
        self,
        path: str,
        body: SentOnce,
        api_version: str,
        betas: tuple[str, ...],
        refused: Callable[[Answer], Exception],
        parse: Callable[[bytes], _Parsed],
    ) -> _Parsed:
        headers = {"anthropic-version": api_version}
        if betas:
            headers["anthropic-beta"] = ",".join(betas)
        connection = self._connect(read_retries=0)
        try:
            response = connection.send_once(path, body, headers)
            if response.is_success:
                return self._told(response, parse)
        except Exception as error:
            if body.failure is not None:
                raise body.failure from None
            if not body.started:
                raise self._unreachable(error) from error
            raise SubmissionUncertain(f"the submission broke off: {self._say(error)}") from error
        finally:
            connection.close()
        raise refused(self._answer(response))

    def _results_stream(self, batch_id: str) -> httpx2.Response:
        try:
            status = self.retrieve(batch_id)
            if not status.results_url:
                raise ResultsUnavailable(f"batch {batch_id} ({status.state}) has no results to read")
            with self._reading():
                return self._shared().stream(status.results_url)
        except ProviderRefused as error:
            if error.status != 404:
                raise
            raise ResultsUnavailable(f"batch {batch_id} is not there (yet): {error}") from error

    def _page(self, *, limit: int, after: str | None) -> Page:
        query = {"limit": limit} if after is None else {"limit": limit, "after_id": after}
        return self._get(_BATCHES, parse_page, query)

    def _get(self, path: str, parse: Callable[[bytes], _Parsed], query: Mapping[str, object]) -> _Parsed:
        with self._reading():
            return self._told(self._shared().get(path, query), parse)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn the SDK's errors into ours, where asking again can do no harm."""
        from anthropic import AnthropicError, APIStatusError

        http = http_library()
        try:
            yield
        except APIStatusError as error:
            raise read_refused(self._answer(error.response)) from error
        except (msgspec.MsgspecError, UnicodeError) as error:
            url = self._settings.public_address
            raise ProviderUnreachable(f"{url} does not answer like the Message Batches API: {error}") from error
        except (AnthropicError, http.HTTPError, http.InvalidURL) as error:
            raise self._unreachable(error) from error

    def _shared(self) -> Connection:
        with self._lock:
            if self._connection is None:
                self._connection = self._connect(self._settings.read_retries)
            return self._connection

    def _connect(self, read_retries: int) -> Connection:
        return Connection(self._settings, read_retries=read_retries)

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

    def _answer(self, response: httpx2.Response) -> Answer:
        answer = read_answer(response.status_code, response.headers, response.content)
        if answer.kind:  # the API's own words: a gateway's error page may have a clock of its own
            self._listen(response)
        return msgspec.structs.replace(answer, message=self._redacted(answer.message))

    def _unreachable(self, error: Exception) -> ProviderUnreachable:
        return ProviderUnreachable(f"cannot reach {self._settings.public_address}: {self._say(error)}")

    def _say(self, error: Exception) -> str:
        cause = error.__cause__ or error
        return self._redacted(f"{cause} ({type(cause).__name__})")

    def _redacted(self, text: str) -> str:
        for secret in self._settings.secrets:
            text = text.replace(secret, "[credential]")
        return text


def _batch_path(batch_id: str) -> str:
    return f"{_BATCHES}/{quote(batch_id, safe='')}"
