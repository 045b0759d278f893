"""What people do meanwhile: cancel something, open something again."""

from __future__ import annotations

from random import Random

from ledger.errors import InputError, ProviderError
from ledger.queries import batches, requests
from scheduler.by_hand import cancel_batch, cancel_request, retry_request
from tests.simulation.stage import Actor

__all__ = ["something_by_hand"]


def something_by_hand(person: Actor, random: Random) -> str:
    """Do it. Returns what was done, or why it could not be."""
    ledger, context = person.context.ledger, person.context
    what = random.choice(["cancel a request", "cancel a batch", "retry a request"])
    try:
        if what == "cancel a batch":
            for batch in random.sample(planned := list(batches(ledger)), min(1, len(planned))):
                cancel_batch(context, batch)
            return what
        row = random.choice(list(requests(ledger)))
        if what == "cancel a request":
            cancel_request(context, row)
        else:
            retry_request(ledger, row, context.now(), paid_twice=random.random() < 0.5)
    except (InputError, ProviderError) as error:
        return f"{what}: {error}"
    return f"{what}: {row.id}"
