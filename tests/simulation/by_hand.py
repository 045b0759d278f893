"""What people do meanwhile: cancel something, open something again."""

from __future__ import annotations

from random import Random

from ledger.errors import InputError, ProviderError
from ledger.queries import batches, requests
from scheduler.by_hand import cancel_batch, cancel_request, retry_request
from tests.simulation.stage import Actor

__all__ = ["something_by_hand", "try_again"]

_ENDED = ("failed", "expired", "errored", "canceled", "abandoned")


def something_by_hand(person: Actor, random: Random) -> str:
    """Do it. Returns what was done, or why it could not be."""
    what = random.choice([_cancel_some_batch, _cancel_some_request, try_again, try_again])
    try:
        return what(person, random)
    except (InputError, ProviderError) as error:
        return str(error)


def try_again(person: Actor, random: Random) -> str:
    """Retry a request that ended without an answer; if there is none, any."""
    ledger = person.context.ledger
    ended = list(requests(ledger, statuses=_ENDED))
    row = random.choice(ended or list(requests(ledger)))
    retry_request(ledger, row, person.context.now(), paid_twice=random.random() < 0.5)
    return f"retried {row.id}"


def _cancel_some_batch(person: Actor, random: Random) -> str:
    for batch in random.sample(planned := list(batches(person.context.ledger)), min(1, len(planned))):
        cancel_batch(person.context, batch)
        return f"canceled {batch.id}"
    return "there is no batch to cancel"


def _cancel_some_request(person: Actor, random: Random) -> str:
    row = random.choice(list(requests(person.context.ledger)))
    cancel_request(person.context, row)
    return f"canceled {row.id}"
