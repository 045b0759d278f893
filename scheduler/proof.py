"""Whose batch is it? Custom ids are visible only in results, and a nonce of ours in one of them is proof."""

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


class Proof(msgspec.Struct, frozen=True):
    """The nonces that stand in a batch ("" for an id that is not of our making).

    `complete` where enough was read to say that no other one does. Else a nonce of ours still proves the batch ours,
    but none proves nothing.
    """

    nonces: frozenset[str]
    complete: bool


def read_proof(context: Context, batch: BatchStatus) -> Proof:
    """What the first lines of a batch's results tell. Those of a batch that has been read are known for ever.

    Raises `ProviderError`; results that are not there, or break off, only make the proof incomplete.
    """
    if (known := context.proven.get(batch.id)) is not None:
        return Proof(known, complete=True)
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
            return Proof(frozenset(nonces), complete=False)
    # A file cut off at the end of a line looks whole: what was cut off may be what names us.
    complete = 0 < min(batch.total, _PROOF_LINES) <= lines
    if complete:
        context.proven[batch.id] = frozenset(nonces)
    return Proof(frozenset(nonces), complete)
