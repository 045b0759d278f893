"""Events in one line for people."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from llm_ledger.cli.event_words import gist


@pytest.mark.parametrize(
    ("event_type", "fields", "said"),
    [
        ("batch.planned", {"reason": "age", "twin_of": None}, "reason age"),
        (
            "batch.planned",
            {"reason": "twin", "twin_of": "b1"},
            "the provider carried out batch b1 a second time, as this one",
        ),
        ("batch.submission_started", {"nonce": "ff"}, ""),
        ("batch.submission_started", {"reserved": 1_500_000_000_000}, "$1.500000 at most, held back from the budget"),
        ("batch.duplicate_detected", {"provider_batch_id": "m1"}, "the provider also holds m1"),
        (
            "batch.duplicate_detected",
            {"provider_batch_id": "m1", "twin_id": "b2"},
            "the provider also holds m1, on record as batch b2",
        ),
        ("batch.results_collected", {"lines": 1}, "1 line"),
        (
            "batch.results_collected",
            {
                "lines": 9,
                "foreign": 2,
                "repeated": 1,
                "missing": 3,
                "counts": {"succeeded": 5, "expired": 1, "errored": 0},
            },
            "9 lines: 5 succeeded, 1 expired; 2 not of this batch; 1 repeated; 3 items given up as lost",
        ),
        (
            "request.retry_scheduled",
            {"attempt": 2, "due_at": "T", "reason": "overloaded", "processing": "standard"},
            "attempt 2, as a standard call, from T: overloaded",
        ),
        ("request.retry_scheduled", {"attempt": 1, "due_at": "T", "reason": "by hand"}, "attempt 1, from T: by hand"),
        ("request.call_started", {"attempt": 3, "deadline": "T"}, "attempt 3, a standard call, over by T"),
        ("request.canceled", {"reason": "a typing error", "batch_id": None}, "reason a typing error"),
        ("request.recorded", {"key": "default"}, ""),
        ("batch.polled", {"problem": "a\x1b[2Jb"}, "problem a\\x1b[2Jb"),
    ],
)
def test_the_telling_parts_are_told(event_type: str, fields: dict[str, Any], said: str) -> None:
    assert gist(event_type, msgspec.Raw(json.dumps(fields).encode())) == said
