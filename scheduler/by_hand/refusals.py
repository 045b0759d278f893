"""Why something cannot be done by hand, and the second try where somebody else was quicker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from ledger.errors import InputError, VersionConflict
from ledger.projections import BatchRow, RequestRow

__all__ = ["BY_HAND", "Busy", "MayBePaid", "NotPossible", "decided_twice"]

BY_HAND: Final = "by hand"

_Asked = TypeVar("_Asked")


class NotPossible(InputError):
    """It cannot be done to this request or batch (`id`) as it stands; nothing was changed."""

    def __init__(self, row: RequestRow | BatchRow, reason: str) -> None:
        name = f"request {row.custom_id} ({row.id})" if isinstance(row, RequestRow) else f"batch {row.id}"
        super().__init__(f"{name} {reason}")
        self.id = row.id


class MayBePaid(InputError):
    """These `requests` (ids) may have been answered already, unseen: sending them again may be paid for twice."""

    def __init__(self, requests: Sequence[str]) -> None:
        which = f"request {requests[0]}" if len(requests) == 1 else f"{len(requests):,} requests"
        super().__init__(
            f"{which} may have been answered and billed without anybody seeing it: to send that again may be paid "
            "for twice; add --yes to do it"
        )
        self.requests = tuple(requests)


class Busy(InputError):
    """Somebody else changed it twice in a moment; nothing was changed here."""

    def __init__(self) -> None:
        super().__init__("a worker is busy with it at this moment; nothing was changed, try again")


def decided_twice(act: Callable[[_Asked], None], asked: _Asked, read: Callable[[_Asked], _Asked]) -> _Asked:
    """Do it to what was `asked` about as it stands, or, if somebody changed that meanwhile, as it stands then.

    Returns it as it stands afterwards.
    """
    try:
        act(asked)
    except VersionConflict:
        asked = read(asked)
        try:
            act(asked)
        except VersionConflict as conflict:
            raise Busy from conflict
    return read(asked)
