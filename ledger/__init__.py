"""FACTS: an append-only ledger of LLM requests, and everything that follows from it.

>>> from ledger import Ledger
>>> with Ledger.open("sqlite://") as ledger:
...     ledger.head().position
1
"""

from __future__ import annotations

from ledger.errors import LedgerError
from ledger.events import NewEvent, RecordedEvent
from ledger.ledger import Ledger
from ledger.shared import shared_writer
from ledger.writer import Writer

__all__ = ["Ledger", "LedgerError", "NewEvent", "RecordedEvent", "Writer", "shared_writer"]
