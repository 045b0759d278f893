"""The scheduler within an application: it runs while somebody waits, and at no other time.

Nothing is kept here. What is submitted is in the ledger, and any process that works on the ledger may do the rest:
this one in threads of its own, `llm-ledger run`, or both, since every batch is worked on under a lease.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from ledger import Ledger
from ledger.errors import InvalidLine
from ledger.forks import survives_forks
from ledger.queries import requests
from llm_optimization.batching.awaited import Wait, on_record
from llm_optimization.batching.lines import Line
from llm_optimization.batching.outcomes import Outcome, read_outcomes
from llm_optimization.batching.params import betas_of
from llm_optimization.batching.watch import Watch
from llm_optimization.exceptions import BatchIncomplete
from scheduler import Intake, Policy, Submission, providers
from scheduler.intake import Refused
from scheduler.providers.anthropic import AnthropicSettings

__all__ = ["PROVIDER", "Engine"]

PROVIDER = "anthropic"


class Engine:
    """Batches of one ledger, under one account and policy. Safe to share between threads, and to use after a fork.

    A ledger is opened for each use and closed again: an application that waits for nothing holds no connection.
    `url` is absolute.
    """

    def __init__(self, url: str, settings: AnthropicSettings, policy: Policy) -> None:
        self._url = url
        self._settings = settings
        self._policy = policy
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        survives_forks(self)

    @property
    def betas(self) -> list[str]:
        """Those under which every request of this account goes, besides its own."""
        return betas_of(dict(self._settings.headers))

    def check(self) -> None:
        """Raises `ConfigurationError` without a usable key, address and proxy. No network."""
        _ = self._settings.credential, self._settings.address, self._settings.way

    def submit(self, lines: Sequence[Line], *, key: str, tags: Mapping[str, str] | None = None) -> Submission:
        """Put these requests on record; what is there already is skipped. Runs nothing and needs no key.

        Raises `InvalidLine` or `ChangedRequest` with the number of the line, from 1; nothing is recorded then.
        """
        return self._submit(lines, key, tags, refused=None)

    def submit_valid(
        self, lines: Sequence[Line], *, key: str, tags: Mapping[str, str] | None = None
    ) -> dict[str, Outcome]:
        """The same, but what is invalid by itself keeps nobody else from it. Returns the outcomes of that, by id."""
        refused: dict[str, Outcome] = {}

        def refuse(error: InvalidLine) -> None:
            custom_id = lines[error.line - 1].custom_id
            refused[custom_id] = Outcome(custom_id, "errored", None, "invalid_request_error", error.reason)

        self._submit(lines, key, tags, refused=refuse)
        return refused

    def custom_ids(self, key: str) -> list[str]:
        """All requests for batches that are on record under the key, in the order in which they came."""
        with self.ledger() as ledger:
            return [row.custom_id for row in requests(ledger, key=key, mode="batch")]

    def outcomes(self, key: str, custom_ids: Sequence[str]) -> dict[str, Outcome]:
        """How these requests stand now. What is not on record is left out."""
        with self.ledger() as ledger:
            return read_outcomes(ledger, key, custom_ids)

    def expect(self, key: str, custom_ids: Sequence[str]) -> Future[None]:
        """Work until all of these requests have ended: the future is done then. Returns at once.

        It ends in the ledger's own errors where waiting is senseless: `ConfigurationError` (no key, no ledger),
        `ProviderError` (the credential is refused, nobody answers), `SubmissionHeld` (the budget), `UnknownId`.
        Who cancels it waits no longer; the requests go on.
        """
        wait = Wait(key, custom_ids)
        with self._lock:
            if self._watch is None or not self._watch.take(wait):
                watch = Watch(self._url, self._settings, self._policy)
                watch.take(wait)
                watch.start()
                self._watch = watch  # not before: nobody is to wait for one that could not begin
        return wait.future

    def work(self, key: str, custom_ids: Sequence[str], *, timeout: float | None = None) -> None:
        """Block until all of these requests have ended; see `expect`.

        Raises `BatchIncomplete` after `timeout` seconds. Nothing is lost then: the same may be asked again.
        """
        future = self.expect(key, custom_ids)
        try:
            future.result(timeout)
        except FutureTimeoutError:
            self._refuse_incomplete(key, custom_ids)
        finally:
            future.cancel()

    async def await_end(self, key: str, custom_ids: Sequence[str], *, timeout: float | None = None) -> None:
        """`work`, beside the event loop."""
        try:
            await asyncio.wait_for(asyncio.wrap_future(self.expect(key, custom_ids)), timeout)
        except TimeoutError:
            await asyncio.to_thread(self._refuse_incomplete, key, custom_ids)

    async def await_outcomes(
        self, key: str, custom_ids: Sequence[str], *, timeout: float | None = None
    ) -> dict[str, Outcome]:
        """The outcomes of these requests by custom id, once all have ended; raises as `work` does."""
        await self.await_end(key, custom_ids, timeout=timeout)
        return await asyncio.to_thread(self.outcomes, key, custom_ids)

    def ledger(self) -> Ledger:
        """The ledger, opened: close it, or use it as a context manager."""
        return Ledger.open(self._url)

    def _submit(
        self, lines: Sequence[Line], key: str, tags: Mapping[str, str] | None, *, refused: Refused | None
    ) -> Submission:
        with self.ledger() as ledger:
            intake = Intake(ledger, providers.rules(PROVIDER), key=key, tags=tags)
            with ledger.read() as connection:
                known = on_record(connection, key, [line.custom_id for line in lines if line.derived])
            # A blank line counts as a line, and is no request: so the others keep their numbers.
            texts = (b"" if line.custom_id in known else line.as_bytes() for line in lines)
            submission = intake.submit(texts, refused=refused)
        return Submission(submission.total + len(known), submission.recorded, submission.skipped + len(known))

    def _refuse_incomplete(self, key: str, custom_ids: Sequence[str]) -> None:
        outcomes = self.outcomes(key, custom_ids)
        if pending := [one for one, outcome in outcomes.items() if outcome.status == "pending"]:
            raise BatchIncomplete(key, pending) from None

    def before_fork(self) -> None:
        """Nothing: the threads stay with the parent, and so does what they hold."""

    def after_fork(self, *, child: bool) -> None:
        """Go on; in the child without anybody who waits."""
        if child:
            self._lock = threading.Lock()
            self._watch = None
