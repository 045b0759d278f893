"""Reading from the API: statuses, the list, results, and a cancel, with everything that can go wrong on the way."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from ledger.errors import ProviderRefused, ProviderUnreachable
from scheduler.providers.anthropic.results import MAX_LINE_BYTES
from scheduler.providers.base import ResultsUnavailable


def batch(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"msgbatch_{number}",
        "type": "message_batch",
        "processing_status": "ended",
        "request_counts": {"processing": 0, "succeeded": 1, "errored": 2, "canceled": 3, "expired": 4},
        "created_at": "2026-11-22T08:00:00Z",
        "expires_at": "2026-11-23T08:00:00Z",
        "ended_at": "2026-11-22T08:30:00Z",
    } | fields


def page(*numbers: int, has_more: bool = False) -> dict[str, Any]:
    return {"data": [batch(number) for number in numbers], "has_more": has_more, "first_id": None, "last_id": None}


def line(custom_id: str, text: str = "") -> bytes:
    message = {"id": "msg_1", "model": "claude-x", "usage": {"input_tokens": 1}, "content": text}
    result = {"type": "succeeded", "message": message}
    return json.dumps({"custom_id": custom_id, "result": result}).encode() + b"\n"


def ended(server: Any) -> dict[str, Any]:
    return batch(1, results_url=f"{server.base_url}/v1/messages/batches/msgbatch_1/results")


def test_a_batch_is_read_with_all_its_counts_and_times(server, script, provider) -> None:
    server.play(script.answer(200, batch(1, results_url="https://x/y")))
    status = provider.retrieve("msgbatch_1")
    assert server.requests[0].path == "/v1/messages/batches/msgbatch_1"
    assert (status.processing, status.succeeded, status.errored, status.canceled, status.expired) == (0, 1, 2, 3, 4)
    assert (status.state, status.results_url) == ("ended", "https://x/y")
    assert status.ended_at is not None
    assert status.ended_at.isoformat() == "2026-11-22T08:30:00+00:00"


def test_an_id_cannot_lead_to_another_path(server, script, provider) -> None:
    server.play(script.answer(200, batch(1)))
    provider.retrieve("../x?y")
    assert server.requests[0].path == "/v1/messages/batches/..%2Fx%3Fy"


def test_a_cancel_is_a_post(server, script, provider) -> None:
    server.play(script.answer(200, batch(1, processing_status="canceling")))
    assert provider.cancel("msgbatch_1").state == "canceling"
    assert (server.requests[0].method, server.requests[0].path) == ("POST", "/v1/messages/batches/msgbatch_1/cancel")


def test_the_newest_batch(server, script, provider) -> None:
    server.play(script.answer(200, page(7, has_more=True)), script.answer(200, page()))
    assert provider.newest_batch().id == "msgbatch_7"
    assert provider.newest_batch() is None
    assert server.requests[0].path == "/v1/messages/batches?limit=1"


def test_the_list_is_walked_until_the_known_batch(server, script, provider) -> None:
    server.play(
        script.answer(200, page(9, 8, has_more=True)),
        script.answer(200, page(7, 6, 5, has_more=True)),
    )
    assert [status.id for status in provider.list_newer("msgbatch_6")] == ["msgbatch_9", "msgbatch_8", "msgbatch_7"]
    assert "after_id" not in server.requests[0].path
    assert "after_id=msgbatch_8" in server.requests[1].path


def test_without_a_known_batch_the_list_is_walked_to_its_end(server, script, provider) -> None:
    server.play(script.answer(200, page(2, has_more=True)), script.answer(200, page(1)))
    assert [status.id for status in provider.list_newer(None)] == ["msgbatch_2", "msgbatch_1"]


@pytest.mark.parametrize("second", [page(has_more=True), page(2, has_more=True)])
def test_a_list_that_never_ends_is_not_taken_for_complete(server, script, provider, second) -> None:
    server.play(script.answer(200, page(2, has_more=True)), script.answer(200, second))
    with pytest.raises(ProviderUnreachable, match="breaks off"):
        list(provider.list_newer(None))


@pytest.mark.parametrize("status", [401, 402, 403, 404, 400, 413, 308])
def test_a_refusal_is_told_with_its_status(server, script, provider, status) -> None:
    server.play(script.error(status, "x_error", location="/elsewhere"))
    with pytest.raises(ProviderRefused) as caught:
        provider.retrieve("msgbatch_1")
    assert (caught.value.status, caught.value.kind) == (status, "x_error")
    assert "req_1" in str(caught.value)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 529])
def test_a_passing_trouble_is_unreachable(server, script, provider, status) -> None:
    server.play(script.error(status))
    with pytest.raises(ProviderUnreachable):
        provider.cancel("msgbatch_1")


@pytest.mark.parametrize(
    "answer", [b"<html>", b"{}", b"[]", b'"\xff"', json.dumps(batch(1, created_at="2026-11-22T08:00:00")).encode()]
)
def test_an_answer_of_another_service_is_unreachable(server, script, provider, answer) -> None:
    server.play(script.answer(200, answer))
    with pytest.raises(ProviderUnreachable, match="does not answer like the Message Batches API"):
        provider.retrieve("msgbatch_1")


def test_reads_are_repeated_by_the_sdk(server, script, connect) -> None:
    server.play(script.error(500, retry_after_ms="1"), script.answer(200, batch(1)))
    assert connect(server.base_url, read_retries=1).retrieve("msgbatch_1").id == "msgbatch_1"


def test_a_lost_or_silent_connection_is_unreachable(server, script, connect) -> None:
    server.play(script.drop(), script.silence())
    provider = connect(server.base_url, timeout_seconds=0.05)
    for _ in range(2):
        with pytest.raises(ProviderUnreachable, match="cannot reach"):
            provider.newest_batch()


def test_nobody_listening_is_unreachable(connect) -> None:
    with pytest.raises(ProviderUnreachable, match="cannot reach"):
        connect("http://127.0.0.1:1").retrieve("msgbatch_1")


def test_results_come_line_by_line_wherever_the_stream_is_cut(server, script, provider) -> None:
    body = line("a", "ü") + line("b") + b"\n" + line("c").rstrip(b"\n")
    for width in (1, 2, 7, 64, len(body)):
        pieces = [body[start : start + width] for start in range(0, len(body), width)]
        server.play(script.answer(200, ended(server)), script.pieces(*pieces, promised=len(body)))
        assert [item.custom_id for item in provider.results("msgbatch_1")] == ["a", "b", "c"]
    assert script.bears(server.requests[1], "sk-secret-1")


@pytest.mark.parametrize("missing", [1, 40])
def test_results_cut_off_are_unavailable_after_the_lines_that_arrived(server, script, provider, missing) -> None:
    body = line("a") + line("b")
    server.play(script.answer(200, ended(server)), script.pieces(body[:-missing], promised=len(body)))
    items = provider.results("msgbatch_1")
    assert next(items).custom_id == "a"
    with pytest.raises(ResultsUnavailable):
        list(items)


def test_a_malformed_line_is_unavailable(server, script, provider) -> None:
    server.play(script.answer(200, ended(server)), script.answer(200, line("a") + b"<html>\n" + line("b")))
    items = provider.results("msgbatch_1")
    assert next(items).custom_id == "a"
    with pytest.raises(ResultsUnavailable, match="<html>"):
        next(items)


def test_results_not_there_yet_are_unavailable(server, script, provider) -> None:
    server.play(script.error(404), script.answer(200, ended(server)), script.error(404))
    for _ in range(2):
        with pytest.raises(ResultsUnavailable, match="not there"):
            list(provider.results("msgbatch_1"))


def test_results_of_a_batch_under_way_are_unavailable(server, script, provider) -> None:
    server.play(script.answer(200, batch(1, processing_status="in_progress", ended_at=None)))
    with pytest.raises(ResultsUnavailable, match="in_progress"):
        list(provider.results("msgbatch_1"))


@pytest.mark.parametrize(("status", "expected"), [(403, ProviderRefused), (503, ProviderUnreachable)])
def test_results_refused(server, script, provider, status, expected) -> None:
    server.play(script.answer(200, ended(server)), script.error(status))
    with pytest.raises(expected):
        list(provider.results("msgbatch_1"))


def test_an_error_answer_cut_off_is_unreachable(server, script, provider) -> None:
    cut = b"HTTP/1.1 503 No\r\ncontent-length: 99\r\n\r\n{"

    def step(connection: Any, request: Any) -> bool:
        connection.sendall(cut)
        return False

    server.play(script.answer(200, ended(server)), step)
    with pytest.raises(ProviderUnreachable):
        list(provider.results("msgbatch_1"))


def test_a_reader_that_stops_early_closes_the_connection(server, script, provider) -> None:
    closed = []

    def step(connection: Any, request: Any) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n" + line("a"))
        try:
            closed.append(request.stream.read(1))
        except ConnectionError:
            closed.append(b"")
        return False

    server.play(script.answer(200, ended(server)), step)
    items = provider.results("msgbatch_1")
    assert next(items).custom_id == "a"
    items.close()
    assert server.answered.acquire(timeout=5)
    assert server.answered.acquire(timeout=5)
    assert closed == [b""]


def test_results_are_read_in_bounded_memory(server, script, provider) -> None:
    piece = line("a", "x" * 10_000)
    total = len(piece) * 2_000
    server.play(script.answer(200, ended(server)), script.pieces(*[piece] * 2_000, promised=total))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        assert sum(1 for _ in provider.results("msgbatch_1")) == 2_000
        assert tracemalloc.get_traced_memory()[1] - before < 5_000_000 < total
    finally:
        tracemalloc.stop()
    assert MAX_LINE_BYTES == 128 * 1024 * 1024
