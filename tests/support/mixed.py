"""A history with some of everything, for tests that look at whole ledgers."""

from __future__ import annotations

from tests.support.history import History, prefix, usage

__all__ = ["mixed_history"]


def mixed_history(history: History) -> History:
    """Two batches and two calls: answers, failures, an expiry, retries, a duplicate, what nobody can price or read.

    Something stands in every projection table afterwards, and about 60 events in the log.
    """
    shared = prefix("tools", "system", "first")
    one, two, three, four = (
        history.request(tags={"team": team}, prefix=shared) for team in ("docs", "docs", "support", "support")
    )
    first = history.submitted([one, two, three, four])
    history.clock.advance(minutes=40)
    history.end(first)
    history.succeed(one, usage(100, 50, write_5m=3000))
    history.fail(two)
    history.expire(three)
    history.fail(four, retryable=False)
    history.collected(first)
    history.retry(two)
    history.retry(three)
    history.configure()

    unread = history.request(prefix=prefix("tools", "other"), model="claude-sonnet-5-5")
    unpriced = history.request(model="claude-opus-99", tags={"team": "docs", "env": "live"})
    history.clock.advance(hours=13)
    second = history.plan([two, three, unread, unpriced])
    history.start(second)
    history.doubt(second)
    history.clock.advance(minutes=5)
    history.accept(second)
    history.poll(second, problem="no answer")
    history.twin(second)
    history.end(second)
    history.succeed(two, usage(10, 50, read=3000))
    history.cancel(three)
    history.succeed(unread, usage(10, 50, write_1h=5000))
    history.succeed(unpriced, usage(70, 30))
    history.succeed(one, usage(100, 50))  # the twin's answer: a duplicate
    history.collected(second)

    advised = history.request(mode="standard", model="claude-opus-5-5")
    history.succeed(
        advised,
        usage(9, 9, iterations=[{"type": "advisor_message", "model": "claude-haiku-4-5", "output_tokens": 7}]),
    )
    broken = history.request(mode="standard", tags={"env": "live"})
    history.succeed(broken, usage(-1))
    history.cost_unknown(history.request(mode="standard"))
    history.plan([history.request()])
    return history
