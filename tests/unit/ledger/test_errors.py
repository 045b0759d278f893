"""One tree of errors, one line of text each."""

from __future__ import annotations

import re

import pytest

from ledger import errors

EXAMPLES: dict[errors.LedgerError, str] = {
    errors.InvalidRequest("messages.0", "is empty"): "messages.0: is empty",
    errors.InvalidRequest("", "is empty"): "is empty",
    errors.InvalidLine(3, "is empty"): "line 3: is empty",
    errors.ChangedRequest("default", "a"): "request 'a' is already recorded under key 'default' with other params; "
    "give it another custom_id, or submit under another --key",
    errors.UnknownId("abc"): "abc: nothing in this ledger has that id",
    errors.VersionConflict("batch/b", 3, 4): "batch/b: expected 3 as next version, but the stream is at 4",
    errors.IdempotencyMismatch("e", "batch/b"): "batch/b: event e is already stored there, and is not the same",
    errors.UsageUnreadable("usage.x", "no count"): "usage.x: no count",
    errors.ProviderRefused("no", status=401, kind="authentication_error"): "no",
}


def test_the_page_shows_the_tree_that_is() -> None:
    lines = re.findall(r"^    ([│├└─ ]*)([A-Z]\w+)", errors.__doc__ or "", flags=re.MULTILINE)
    path: list[type] = []
    for rails, name in lines:
        depth = len(rails) // 4
        error = getattr(errors, name)
        assert error.__bases__ == ((path[depth - 1],) if depth else (Exception,))
        path[depth:] = [error]
    assert sorted(name for _, name in lines) == sorted(errors.__all__)


@pytest.mark.parametrize(("error", "text"), EXAMPLES.items(), ids=[type(error).__name__ for error in EXAMPLES])
def test_an_error_is_one_line_that_says_what_to_do(error: errors.LedgerError, text: str) -> None:
    assert str(error) == text


def test_an_error_carries_what_it_speaks_of() -> None:
    changed = errors.ChangedRequest("k", "c", 7)
    assert (changed.key, changed.custom_id, changed.line) == ("k", "c", 7)
    assert str(changed).startswith("line 7: ")
    line = errors.InvalidLine(3, "r")
    assert (line.line, line.reason) == (3, "r")
    request = errors.InvalidRequest("p", "r")
    assert (request.path, request.reason) == ("p", "r")
    conflict = errors.VersionConflict("s", 1, 2)
    assert (conflict.stream_id, conflict.expected, conflict.actual) == ("s", 1, 2)
    mismatch = errors.IdempotencyMismatch("e", "s")
    assert (mismatch.event_id, mismatch.stream_id) == ("e", "s")
    refused = errors.ProviderRefused("no", status=401, kind="k")
    assert (refused.status, refused.kind) == (401, "k")
    unreadable = errors.UsageUnreadable("p", "r")
    assert (unreadable.path, unreadable.reason) == ("p", "r")
    assert errors.UnknownId("w", "r").wanted == "w"
