"""One HTTP attempt, from the request to the record. What the SDK repeats is another one: either may be billed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from ledger.clock import Clock, SystemClock
from llm_optimization.client_transport.answers import AnswerReader, EventReader, MessageReader, PackedReader
from llm_optimization.client_transport.labels import Labels
from llm_optimization.client_transport.outgoing import Form
from llm_optimization.recording import CostUnknown, FinishedCall, Outcome
from llm_optimization.wrapping.mishaps import mishap
from llm_optimization.wrapping.optimization import Optimization
from llm_optimization.wrapping.outcomes import names_cache_markers, outcome_of

__all__ = ["Attempt", "refusal"]

_BETAS: Final = "anthropic-beta"
_CLOCK: Final = SystemClock()


class Attempt:
    """Hears one attempt and tells once, as a `FinishedCall`, how it ended. `heard` and `over` raise nothing: the SDK
    would take an error of ours for one of the connection, and ask again."""

    def __init__(self, optimization: Optimization, form: Form, labels: Labels, clock: Clock = _CLOCK) -> None:
        self.form = form
        self._config = optimization.config
        self._labels = labels
        self._clock = clock
        self._reader: AnswerReader | None = None
        self._over = False

    def answered(self, response: Any) -> None:
        """The head of an answer is in; its body comes by `heard`."""
        if response.status_code >= 400:
            reader: AnswerReader = _ErrorReader(response.status_code)
        elif response.headers.get("content-type", "").startswith("text/event-stream"):
            reader = EventReader()
        else:
            reader = MessageReader()
        encoding = response.headers.get("content-encoding", "identity")
        # A body that was read already is unpacked, too.
        self._reader = reader if encoding == "identity" or response.is_closed else _packed(reader, response, encoding)
        if response.is_closed:
            self.heard(response.content)

    def heard(self, piece: bytes) -> None:
        """A piece of the body, as it came over the wire."""
        if self._reader is None or self._over:
            return
        try:
            self._reader.feed(piece)
        except Exception as error:
            self._reader = _Unreadable(error)

    def over(self, error: BaseException | None = None) -> FinishedCall | None:
        """The attempt is over, at the end of its answer or in an error. The record of it; None if there is none to
        make any more."""
        if self._over or not self._config.records:
            return None
        self._over = True
        try:
            return self._finished(error)
        except Exception as mistake:
            mishap("a call cannot be recorded", mistake)
            return None

    def _finished(self, error: BaseException | None) -> FinishedCall:
        return FinishedCall(
            provider="anthropic",
            model=str(self.form.params.get("model", "")),
            outcome=self._outcome(error),
            finished_at=self._clock.now(),
            params=self._params(),
            api_version=self.form.request.headers.get("anthropic-version", ""),
            tags={**self._config.tags, **self._labels.tags},
            key=self._labels.key or self._config.key,
        )

    def _outcome(self, error: BaseException | None) -> Outcome:
        heard = _told_by(self._reader) if self._reader is not None else CostUnknown("the answer was left unread")
        if error is None or not isinstance(heard, CostUnknown):
            return heard
        return outcome_of(error, began=self._reader is not None)

    def _params(self) -> Mapping[str, Any]:
        """The params as a line of a batch would carry them: there betas are no header."""
        betas = self.form.request.headers.get(_BETAS)
        names = [name.strip() for name in betas.split(",")] if betas else []
        return {**self.form.params, "betas": names} if names else self.form.params


def refusal(content: bytes) -> Exception | None:
    """Why a request with markers was refused (status 400), if the markers are the reason."""
    refused = _StatusError(400, content)
    return refused if names_cache_markers(refused) else None


class _StatusError(Exception):
    """An answer with an error status, in the form in which `outcome_of` reads the SDK's errors."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status_code = status
        self.body: object = None
        with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
            self.body = msgspec.json.decode(content)


class _ErrorReader:
    """The body of an answer with an error status."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._body = bytearray()

    def feed(self, piece: bytes) -> None:
        self._body += piece

    def outcome(self) -> Outcome:
        return outcome_of(_StatusError(self._status, bytes(self._body)))


class _Unreadable:
    """The rest of a body that a reader stumbled over."""

    def __init__(self, error: Exception) -> None:
        mishap("an answer cannot be read", error)
        self._outcome = CostUnknown(f"the answer cannot be read: {type(error).__name__}")

    def feed(self, piece: bytes) -> None:
        pass

    def outcome(self) -> Outcome:
        return self._outcome


def _told_by(reader: AnswerReader) -> Outcome:
    try:
        return reader.outcome()
    except Exception as error:
        return _Unreadable(error).outcome()


def _packed(reader: AnswerReader, response: Any, encoding: str) -> PackedReader:
    """The HTTP library unpacks what it asked for: a response of its own does so with its content."""
    kind = type(response)
    return PackedReader(reader, lambda body: kind(200, headers={"content-encoding": encoding}, content=body).content)
