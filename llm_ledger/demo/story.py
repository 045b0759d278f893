"""What happens in the demo, in order, and whether it all holds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec

from ledger import Ledger
from ledger.errors import InputError
from ledger.projections import BatchRow
from ledger.queries import batches, stored_events
from ledger.savings import Period
from ledger.summary import savings
from ledger.verify import verify
from llm_ledger.cli.words import counted, dollars
from llm_ledger.demo.questions import request_lines
from llm_ledger.demo.stage import BATCH_SIZE, Stage
from llm_ledger.demo.telling import Teller
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running

__all__ = ["run_demo"]

BATCH_SECONDS = 2.0


class _Crash(msgspec.Struct, frozen=True):
    """The batch whose answer was lost, and the last event before the kill."""

    batch_id: str
    position: int


def run_demo(keep: Path | None = None) -> bool:
    """Perform it; True if everything holds. `keep`: the folder to leave the ledger in. Raises `LedgerError`."""
    tell = Teller()
    config = SimulatorConfig(batch_seconds=BATCH_SECONDS)
    with _folder(keep) as folder, running(config) as simulator:
        stage = Stage(folder, simulator.base_url)
        tell.opening(simulator.base_url)
        questions = _submit(stage, tell)
        with Ledger.open(stage.database_url) as ledger:
            crash = _run_and_crash(stage, tell, ledger, simulator, questions // BATCH_SIZE)
            with tell.waiting("started again: it goes on where the ledger ends"):
                stage.run("run", "--until-idle")
            tell.crash(list(stored_events(ledger, stream=f"batch/{crash.batch_id}")), crash.position)
            held = _settle_accounts(tell, ledger, simulator, questions)
    if keep is not None:
        tell.where(stage.database_url)
    return held


def _submit(stage: Stage, tell: Teller) -> int:
    file = stage.folder / "requests.jsonl"
    lines = list(request_lines())
    file.write_bytes(b"".join(lines))
    with tell.waiting("200 questions of GSM8K, three models, one system prompt that all of them cache"):
        said = stage.run("submit", str(file))
    tell.done(f"llm-ledger submit: {said}")
    return len(lines)


def _run_and_crash(stage: Stage, tell: Teller, ledger: Ledger, simulator: RunningSimulator, expected: int) -> _Crash:
    """Kill the run while the provider has a batch that the ledger has no answer for."""
    # The second POST is accepted and charged, but its answer never arrives.
    simulator.fault(endpoint="batches.create", kind="hang", commit=True, skip=1)

    def lost() -> bool:
        waiting = _submitting(ledger)
        return bool(waiting) and len(simulator.log()["batches"]) == expected and len(waiting) == 1

    with tell.waiting("llm-ledger run: batches are on their way"):
        stage.kill_when(lost, "run", "--until-idle")
    crash = _Crash(_submitting(ledger)[0].id, ledger.head().position)
    tell.done(
        f"llm-ledger run: killed (SIGKILL) with {counted(expected, 'batch')} at the provider, "
        "one of them without an answer"
    )
    return crash


def _submitting(ledger: Ledger) -> list[BatchRow]:
    return [batch for batch in batches(ledger) if batch.status == "submitting"]


def _settle_accounts(tell: Teller, ledger: Ledger, simulator: RunningSimulator, questions: int) -> bool:
    report = savings(ledger, Period(), "model")
    bill, log = simulator.bill(), simulator.log()
    tell.models(report["groups"], bill["models"])
    tell.savings(report)
    done, ours = report["requests"]["succeeded"], report["cost"]["actual"]
    audit = verify(ledger.database)
    sent, twice = len(log["batches"]), log["duplicated_params"]
    planned = len(list(batches(ledger)))
    return all(
        [
            tell.check(done == questions, f"{done} of {counted(questions, 'request')} succeeded"),
            tell.check(
                sent == planned and not twice,
                f"{counted(planned, 'batch')} planned, {sent} at the provider, {twice} requests paid twice",
            ),
            tell.check(
                Decimal(ours) == Decimal(bill["total"]),
                f"our total {dollars(ours, None)}, the provider's own bill {dollars(bill['total'], None)}",
            ),
            tell.check(audit.sound, f"verify: {counted(audit.events, 'event')}, {_found(audit.problems)}"),
        ]
    )


def _found(problems: tuple[str, ...]) -> str:
    return problems[0] if problems else "nothing contradicts anything"


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="llm-ledger-demo-") as folder:
            yield Path(folder)
        return
    if (keep / "llm-ledger.db").exists():
        raise InputError(f"{keep} holds a ledger already; name another folder")
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{keep}: {error.strerror}") from None
    yield keep.resolve()
