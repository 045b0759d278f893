"""What people do by hand: cancel a request or a batch, open requests again that ended without an answer.

Whatever cannot be done to something as it stands is a `NotPossible` that says why; then nothing is changed. Workers
may be busy with the same requests at the same moment: what they did in between is read, and decided anew, once.
"""

from __future__ import annotations

from scheduler.by_hand.cancel import cancel_batch, cancel_request
from scheduler.by_hand.refusals import BY_HAND, MayBePaid, NotPossible
from scheduler.by_hand.retry import held, perhaps_paid, retry_request, retry_requests

__all__ = [
    "BY_HAND",
    "MayBePaid",
    "NotPossible",
    "cancel_batch",
    "cancel_request",
    "held",
    "perhaps_paid",
    "retry_request",
    "retry_requests",
]
