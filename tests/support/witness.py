"""What a provider knows: the judge of what was sent to it, and of what is to pay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Protocol

import msgspec

from tests.support.fake_provider import FakeProvider, cost_of

__all__ = ["FakeWitness", "HeldByProvider", "SimulatorWitness", "Witness"]


class HeldByProvider(msgspec.Struct, frozen=True):
    """A batch as the provider knows it. `bill` in pico-USD, whole; `items` the same by custom id, if it tells."""

    id: str
    custom_ids: tuple[str, ...]
    canceled: bool
    bill: int
    items: Mapping[str, int] | None = None


class Witness(Protocol):
    """What the provider knows. It is asked when nothing runs any more."""

    def batches(self) -> Sequence[HeldByProvider]:
        """Every batch it ever made, whoever sent it."""
        ...

    def posts(self) -> Mapping[str, int]:
        """How many creates arrived, by the nonce in their ids; empty if it does not count them."""
        ...

    def calls(self) -> Mapping[str, tuple[int, int]]:
        """Standard calls that it answered: by SHA-256 of their params (hex) how many, and what one costs."""
        ...

    def bill(self) -> int:
        """All there is to pay, in pico-USD."""
        ...


class FakeWitness:
    """`FakeProvider` as a witness."""

    def __init__(self, provider: FakeProvider) -> None:
        self._provider = provider

    def batches(self) -> Sequence[HeldByProvider]:
        self._provider.settle()
        return [
            HeldByProvider(
                held.id,
                tuple(item.custom_id for item in held.items),
                held.canceled,
                sum(held.billed.values()),
                held.billed,
            )
            for held in self._provider.batches
        ]

    def posts(self) -> Mapping[str, int]:
        return self._provider.posts

    def calls(self) -> Mapping[str, tuple[int, int]]:
        answered = Counter(params for params, _ in self._provider.standard)
        return {sha256(params).hexdigest(): (many, 2 * cost_of(params)) for params, many in answered.items()}

    def call_costs(self) -> list[int]:
        """What each standard call that it answered costs, in order."""
        return [2 * cost_of(params) for params, _ in self._provider.standard]

    def bill(self) -> int:
        return sum(held.bill for held in self.batches()) + sum(many * cost for many, cost in self.calls().values())


class SimulatorWitness:
    """The HTTP simulator as a witness, by its handle's `bill()` and `log()`. It tells no calls apart."""

    def __init__(self, bill: Mapping[str, Any], log: Mapping[str, Any]) -> None:
        self._bill = bill
        self._log = log

    def batches(self) -> Sequence[HeldByProvider]:
        bills = self._bill["batches"]
        return [
            HeldByProvider(
                batch["id"],
                tuple(batch["custom_ids"] or ()),
                bool(batch["request_counts"]["canceled"]),
                bills[batch["id"]]["total_pico_usd"] if batch["id"] in bills else 0,
            )
            for batch in self._log["batches"]
        ]

    def posts(self) -> Mapping[str, int]:
        return {}

    def calls(self) -> Mapping[str, tuple[int, int]]:
        return {}

    def bill(self) -> int:
        return int(self._bill["total_pico_usd"])
