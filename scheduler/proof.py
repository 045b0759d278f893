"""Whose batch is it? Custom ids are visible only in results, and a nonce of ours in one of them is proof.

That none is there is proven less easily: a file may hold lines of others in the place of ours. So nothing is ruled
out before two looks, some time apart, have read the same.
"""

from __future__ import annotations

import logging
from itertools import islice
from typing import Final

import msgspec

from scheduler.context import Context
from scheduler.providers.base import BatchStatus, ResultsUnavailable
from scheduler.wire import parse_wire_id

__all__ = ["Proof", "read_proof"]

_log = logging.getLogger(__name__)

_PROOF_LINES: Final = 1000
"""Lines of a batch's results that are looked at: all ids of one batch carry one nonce."""

_MANY: Final = 16
"""More nonces than that are a stranger's ids; which of them stand in the first lines may differ each time."""


class Proof(msgspec.Struct, frozen=True):
    """The nonces that stand in a batch ("" for an id that is not of our making).

    `whole` where enough was read to tell them all, `complete` where two readings agree that no other one is there.
    Before that a nonce of ours proves the batch ours, but none proves nothing.
    """

    nonces: frozenset[str]
    whole: bool
    complete: bool = False


def read_proof(context: Context, batch: BatchStatus) -> Proof:
    """What the first lines of a batch's results tell. What two looks agree about is known for ever.

    Raises `ProviderError`; results that are not there, or break off, only make the proof incomplete.
    """
    if (proven := context.proven.get(batch.id)) is not None:
        return Proof(proven, whole=True, complete=True)
    now = context.ledger.clock.monotonic()
    before, read_at = context.read_once.get(batch.id, (None, now))
    if before is not None and now - read_at < context.policy().poll_min_seconds / 2:
        return Proof(before, whole=True)
    proof = _read(context, batch)
    if not proof.whole:
        return proof
    if before is None or not _agree(proof.nonces, before):
        context.read_once[batch.id] = (proof.nonces, now)
        return proof
    context.proven[batch.id] = proof.nonces
    context.read_once.pop(batch.id, None)
    return Proof(proof.nonces, whole=True, complete=True)


def _agree(one: frozenset[str], other: frozenset[str]) -> bool:
    return one == other or min(len(one), len(other)) > _MANY


def _read(context: Context, batch: BatchStatus) -> Proof:
    nonces: set[str] = set()
    lines = 0
    if batch.state == "ended":
        try:
            for result in islice(context.provider.results(batch.id), _PROOF_LINES):
                found = parse_wire_id(result.custom_id)
                nonces.add(found[0] if found is not None else "")
                lines += 1
        except ResultsUnavailable as error:
            _log.info("batch %s of the provider's: %s", batch.id, error)
            return Proof(frozenset(nonces), whole=False)
    # A file cut off at the end of a line looks whole: what was cut off may be what names us.
    return Proof(frozenset(nonces), whole=0 < min(batch.total, _PROOF_LINES) <= lines)
