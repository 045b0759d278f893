"""A batch provider in memory: it does what a script says, keeps its own bill, and knows only the time it is given."""

from __future__ import annotations

import copy
import json
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from random import Random
from typing import Literal

from ledger.clock import Clock
from ledger.errors import ProviderRefused, ProviderUnreachable
from scheduler.providers.base import (
    Account,
    BatchItem,
    BatchStatus,
    BatchTooLarge,
    InvalidBatch,
    ItemResult,
    ProviderLimits,
    ResultsUnavailable,
    SubmissionUncertain,
)

MODEL = "claude-sonnet-4-5"
INPUT_PICO, OUTPUT_PICO = 1_500_000, 7_500_000
"""Half of 3 and 15 USD a million tokens: that model's batch rates, as this provider bills them."""

OURS = Account(base_url="https://fake.test", credential="0123456789abcdef")
OTHERS = Account(base_url="https://fake.test", credential="fedcba9876543210")

Fate = Literal[
    "succeeded", "invalid", "overloaded", "expired", "canceled", "no_usage", "odd_usage", "torn_usage", "other_model"
]
"""How an item ends. The last four answer; what they used cannot be read, or was used by a model without a price."""

_SILENT = (ProviderUnreachable, SubmissionUncertain)

ANSWERED: tuple[Fate, ...] = ("succeeded", "no_usage", "odd_usage", "torn_usage", "other_model")


@dataclass
class Turn:
    """How one call goes. `hook` runs first; `refuse` is raised instead of doing anything.

    `late` runs after it was done, before the answer is there; `lose` is raised in the place of the answer.
    `mangle` rewrites the lines of a results call; an exception among them is raised in its place. `restate` rewrites
    the status that any other call answers with. Of a create: `gap` runs between the last check and the send;
    `copies` are made of the one POST, `commit_after` so many seconds after it (None: at once).
    """

    hook: Callable[[], object] | None = None
    refuse: Exception | None = None
    late: Callable[[], object] | None = None
    lose: Exception | None = None
    mangle: Callable[[list[ItemResult]], Iterable[ItemResult | Exception]] | None = None
    restate: Callable[[BatchStatus], BatchStatus] = lambda status: status
    gap: Callable[[], object] = lambda: None
    copies: int = 1
    commit_after: float | None = None


@dataclass
class HeldBatch:
    """A batch as the provider holds it."""

    id: str
    account: Account
    items: list[BatchItem]
    api_version: str
    betas: tuple[str, ...]
    created_at: datetime
    ends_at: datetime
    canceled: bool = False
    deleted: bool = False
    fates: list[Fate] = field(default_factory=list)
    billed: dict[str, int] = field(default_factory=dict)
    """What each answered item of ours costs, in pico-USD, by its id."""

    @property
    def strange(self) -> bool:
        """Whether somebody else made it."""
        return any(b'"theirs"' in item.params for item in self.items)


class FakeProvider:
    """`BatchProvider` without a network. Everything else that it holds is open to the test.

    `fates` gives the fates of params in order of their attempts, then success. `poison` holds params that no
    batch may contain. `batch_seconds`, `visible_after` and `results_after` are seconds of `clock`, the provider's
    own. `chance` says how a call goes for which nothing is planned. `posts` counts what was sent by nonce, whatever
    came of it; `bill` is what can be priced from the answers, `HeldBatch.billed` and `standard` all there is to pay.
    """

    name = "anthropic"

    def __init__(self, clock: Clock, *, batch_seconds: float = 10.0, seed: int = 0) -> None:
        self.clock = clock
        self.limits = ProviderLimits(max_items=2_000, max_bytes=1_000_000, results_kept_seconds=29 * 86_400)
        self.batch_seconds = batch_seconds
        self.visible_after = 0.0
        self.results_after = 0.0
        self.most_bytes: int | None = None
        self.account_in_use = OURS
        self.poison: set[bytes] = set()
        self.fates: defaultdict[bytes, deque[Fate]] = defaultdict(deque)
        self.chance: Callable[[str], Turn] = lambda call: Turn()
        self.batches: list[HeldBatch] = []
        self.calls: Counter[str] = Counter()
        self.params_taken: Counter[bytes] = Counter()
        self.posts: Counter[str] = Counter()
        self.standard: list[tuple[bytes, Fate]] = []
        """Standard calls that were answered: params and fate."""
        self._heard: datetime | None = None
        self._coming: list[tuple[datetime, Callable[[datetime], HeldBatch]]] = []
        self._turns: defaultdict[str, deque[Turn]] = defaultdict(deque)
        self._random = Random(seed)
        self._lock = threading.RLock()

    # --- for the test ------------------------------------------------------------------------------------------

    def plan(self, call: str, *turns: Turn | Exception) -> None:
        """The next calls of that name go like this; an exception alone is a refusal."""
        self._turns[call] += [turn if isinstance(turn, Turn) else Turn(refuse=turn) for turn in turns]

    def hold(
        self, items: Iterable[BatchItem], account: Account | None = None, made_at: datetime | None = None
    ) -> HeldBatch:
        """A batch, made now unless `made_at` says otherwise, whoever made it."""
        with self._lock:
            now = made_at or self.clock.now()
            made = HeldBatch(
                id=f"msgbatch_{len(self.batches):04d}",
                account=account or self.account_in_use,
                items=list(items),
                api_version="",
                betas=(),
                created_at=now,
                ends_at=now + timedelta(seconds=self.batch_seconds),
            )
            self.batches.append(made)
            return made

    def stranger(self, count: int, nonce: str = "theirs") -> HeldBatch:
        """A batch of somebody else who uses the same account."""
        return self.hold(BatchItem(f"{nonce}-{index}", b'{"theirs":true}') for index in range(count))

    def bill(self) -> int:
        """What all ended batches and calls cost so far, in pico-USD, as far as their answers can be priced."""
        self.settle()
        total = sum(2 * cost_of(params) for params, fate in self.standard if fate == "succeeded")
        for held in self.batches:
            fates = zip(held.items, held.fates, strict=False)
            total += sum(held.billed.get(item.custom_id, 0) for item, fate in fates if fate == "succeeded")
        return total

    def session(self, account: Account = OURS) -> FakeProvider:
        """Another client of the same provider: with an account, and a last answer, of its own."""
        other = copy.copy(self)
        other.account_in_use, other._heard = account, None
        return other

    def settle(self) -> None:
        """Let everything happen that is due: batches that come late, and those that end."""
        now = self.clock.now()
        with self._lock:
            due = [one for one in self._coming if one[0] <= now]
            for one in due:
                self._coming.remove(one)
                one[1](one[0])
        for held in self.batches:
            self._process(held)

    # --- BatchProvider -----------------------------------------------------------------------------------------

    def account(self) -> Account:
        return self.account_in_use

    def provider_time(self) -> datetime | None:
        return self._heard

    def newest_batch(self) -> BatchStatus | None:
        with self._turn("newest_batch"):
            seen = self._visible()
            return self._status(seen[-1]) if seen else None

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
        with self._turn("create", delayed=ProviderUnreachable) as turn:
            if isinstance(turn.refuse, ProviderUnreachable):
                raise turn.refuse
            before_send()
            turn.gap()
            sent = list(items())
            assert (len(sent), sum(item.size for item in sent)) == (count, size)
            self.posts[sent[0].custom_id.rpartition("-")[0]] += 1
            make = partial(self._make, sent, api_version, betas, self.account_in_use)
            if turn.commit_after is not None:
                at = self.clock.now() + timedelta(seconds=turn.commit_after)
                self._coming += [(at, make)] * turn.copies
            if turn.refuse is not None:
                raise turn.refuse
            if self.most_bytes is not None and size > self.most_bytes:
                raise BatchTooLarge("413: the batch is too large")
            if self.poison & {item.params for item in sent}:
                raise InvalidBatch("400: one of the items is not valid")
            made = [make(self.clock.now()) for _ in range(turn.copies)]
            return self._status(made[-1])

    def call(
        self, params: bytes, *, api_version: str, betas: tuple[str, ...], before_send: Callable[[], None]
    ) -> ItemResult:
        with self._turn("call", delayed=ProviderUnreachable) as turn:
            if isinstance(turn.refuse, ProviderUnreachable):
                raise turn.refuse
            before_send()
            turn.gap()
            if turn.refuse is not None:
                raise turn.refuse
            waiting = self.fates[params]
            fate: Fate = waiting.popleft() if waiting else "succeeded"
            if fate in ("canceled", "expired"):
                fate = "overloaded"
            if fate in ANSWERED:
                self.standard.append((params, fate))
            return self._line(BatchItem("call", params), fate)

    def retrieve(self, batch_id: str) -> BatchStatus:
        with self._turn("retrieve") as turn:
            return turn.restate(self._status(self._find(batch_id)))

    def list_newer(self, than: str | None) -> Iterator[BatchStatus]:
        with self._turn("list_newer") as turn:
            seen = self._visible()
            ids = [held.id for held in seen]
            start = ids.index(than) + 1 if than in ids else 0
            return iter([turn.restate(self._status(held)) for held in reversed(seen[start:])])

    def results(self, batch_id: str) -> Iterator[ItemResult]:
        with self._turn("results") as turn:
            held = self._find(batch_id)
            if self.clock.now() < held.ends_at + timedelta(seconds=self.results_after):
                raise ResultsUnavailable("the results are not there yet")
            if self.clock.now() >= held.created_at + timedelta(seconds=self.limits.results_kept_seconds):
                raise ResultsUnavailable("404: the results are no longer kept")
            self._process(held)
            lines = [self._line(item, fate) for item, fate in zip(held.items, held.fates, strict=True)]
            self._random.shuffle(lines)
            return _play(turn.mangle(lines) if turn.mangle else lines)

    def cancel(self, batch_id: str) -> BatchStatus:
        with self._turn("cancel"):
            held = self._find(batch_id)
            if self.clock.now() < held.ends_at:
                held.canceled = True
                held.ends_at = self.clock.now()
            return self._status(held)

    def close(self) -> None:
        """Nothing is open."""

    # --- inside ------------------------------------------------------------------------------------------------

    def _turn(self, call: str, delayed: type[Exception] | None = None) -> _Playing:
        with self._lock:
            self.calls[call] += 1
            turn = self._turns[call].popleft() if self._turns[call] else self.chance(call)
        if self._coming:
            self.settle()
        return _Playing(turn, raise_at_once=delayed is None, answered=self._answered)

    def _answered(self) -> None:
        """An answer leaves, with the time on it, in whole seconds."""
        self._heard = self.clock.now().replace(microsecond=0)

    def _make(
        self, sent: list[BatchItem], api_version: str, betas: tuple[str, ...], account: Account, at: datetime
    ) -> HeldBatch:
        made = self.hold(sent, account, at)
        made.api_version, made.betas = api_version, betas
        self.params_taken.update(item.params for item in sent)
        return made

    def _visible(self) -> list[HeldBatch]:
        since = self.clock.now() - timedelta(seconds=self.visible_after)
        ours = [one for one in self.batches if one.account == self.account_in_use and not one.deleted]
        return [one for one in ours if one.created_at <= since]

    def _find(self, batch_id: str) -> HeldBatch:
        for held in self._visible():
            if held.id == batch_id:
                return held
        raise ProviderRefused(f"404: there is no batch {batch_id}", status=404, kind="not_found_error")

    def _process(self, held: HeldBatch) -> None:
        """Decide how the items of a batch that is over ended, and bill them; once."""
        with self._lock:
            if held.fates or self.clock.now() < held.ends_at:
                return
            for item in held.items:
                waiting = self.fates[item.params]
                fate: Fate = "canceled" if held.canceled else waiting.popleft() if waiting else "succeeded"
                held.fates.append(fate)
                if fate in ANSWERED and not held.strange:
                    held.billed[item.custom_id] = cost_of(item.params)

    def _status(self, held: HeldBatch) -> BatchStatus:
        self._process(held)
        ended = bool(held.fates)
        count = Counter(held.fates)
        errored = count["invalid"] + count["overloaded"]
        return BatchStatus(
            id=held.id,
            state="ended" if ended else "in_progress",
            created_at=held.created_at,
            expires_at=held.created_at + timedelta(days=1),
            ended_at=held.ends_at if ended else None,
            processing=0 if ended else len(held.items),
            succeeded=sum(count[fate] for fate in ANSWERED),
            errored=errored,
            canceled=count["canceled"],
            expired=count["expired"],
        )

    def _line(self, item: BatchItem, fate: Fate) -> ItemResult:
        if fate in ("canceled", "expired"):
            return ItemResult(custom_id=item.custom_id, kind=fate, body=b'{"type":"%s"}' % fate.encode())
        if fate in ("invalid", "overloaded"):
            kind = "invalid_request_error" if fate == "invalid" else "overloaded_error"
            return ItemResult(
                custom_id=item.custom_id,
                kind="errored",
                body=json.dumps({"type": "errored", "error": {"type": kind}}).encode(),
                error_type=kind,
                error_message=f"{kind} for {item.custom_id}",
                retryable=fate == "overloaded",
            )
        usage = json.dumps(usage_of(item.params))
        raw = {"no_usage": None, "odd_usage": b'{"input_tokens":"many"}', "torn_usage": b'{"geo":"\\ud800"}'}
        return ItemResult(
            custom_id=item.custom_id,
            kind="succeeded",
            body=json.dumps({"type": "succeeded", "message": {"usage": usage}}).encode(),
            model="claude-of-tomorrow" if fate == "other_model" else MODEL,
            message_id=f"msg_{sha256(item.custom_id.encode()).hexdigest()[:8]}",
            stop_reason="end_turn",
            usage=raw.get(fate, usage.encode()),
        )


class _Playing:
    """One turn, played around the body of a call."""

    def __init__(self, turn: Turn, *, raise_at_once: bool, answered: Callable[[], None]) -> None:
        self._turn = turn
        self._answered = answered
        self._raise_at_once = raise_at_once

    def __enter__(self) -> Turn:
        if self._turn.hook is not None:
            self._turn.hook()
        if self._raise_at_once and self._turn.refuse is not None:
            raise self._turn.refuse
        return self._turn

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._turn.lose is None and (kind is None or not issubclass(kind, _SILENT)):
            self._answered()
        if kind is None and self._turn.late is not None:
            self._turn.late()
        if kind is None and self._turn.lose is not None:
            raise self._turn.lose


def usage_of(params: bytes) -> dict[str, int]:
    """Tokens that follow from the params alone."""
    return {"input_tokens": len(params), "output_tokens": sha256(params).digest()[0] + 1}


def cost_of(params: bytes) -> int:
    """What an answer to the params costs in a batch, in pico-USD; a standard call costs twice that."""
    tokens = usage_of(params)
    return tokens["input_tokens"] * INPUT_PICO + tokens["output_tokens"] * OUTPUT_PICO


def _play(lines: Iterable[ItemResult | Exception]) -> Iterator[ItemResult]:
    for line in lines:
        if isinstance(line, Exception):
            raise line
        yield line
