"""Processes that fork, end or die with a writer at work: `python -m tests.support.leaving SCENARIO URL`.

They say `ready` once the ledger is open, and go on when something is said to them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading

import msgspec

from ledger import Ledger, NewEvent, shared_writer
from ledger import writer as writing
from ledger.events import ConfigChanged
from ledger.settings import SpoolSettings
from ledger.spool import Spool
from ledger.writer import Writer

THREADS, EVENTS = 4, 25


def note(ledger: Ledger, stream: str) -> NewEvent:
    body = ConfigChanged(version="", config=msgspec.Raw(b"{}"))
    return NewEvent(f"config/{stream}", 1, body, ledger.ids.new(), ledger.clock.now())


def ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def forks(url: str) -> None:
    """Forks while threads append and record; parent and child both go on, with the same objects."""
    ledger = Ledger.open(url)
    shared = shared_writer(url)
    ready()

    def append(name: str) -> None:
        for number in range(EVENTS):
            ledger.append([note(ledger, f"{name}-appended-{number}")])
            ledger.writer.submit([note(ledger, f"{name}-submitted-{number}")]).result(60)
            ledger.writer.record([note(ledger, f"{name}-recorded-{number}")])
            shared.record([note(ledger, f"{name}-shared-{number}")])

    threads = [threading.Thread(target=append, args=(f"thread{number}",)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    child = os.fork()
    append("child" if child == 0 else "parent")
    if child == 0:
        shared.close()
        ledger.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    for thread in threads:
        thread.join()
    ledger.close()


def leaves(url: str) -> None:
    """Forks, and the parent closes the ledger and goes before the child writes."""
    ledger = Ledger.open(url)
    ledger.writer.submit([note(ledger, "before")]).result(60)
    ready()
    read, write = os.pipe()
    if os.fork():
        ledger.append([note(ledger, "parent")])
        ledger.close()
        os.write(write, b"x")
        os._exit(0)
    ledger.append([note(ledger, "child-early")])
    os.read(read, 1)
    ledger.append([note(ledger, "child-late")])
    ledger.writer.submit([note(ledger, "child-submitted")]).result(60)
    os._exit(0)


def works(url: str) -> None:
    """Records in a child of `multiprocessing`, which runs no exit handlers."""
    ledger = Ledger.open(url)
    ledger.writer.submit([note(ledger, "parent")]).result(60)
    ready()
    child = multiprocessing.get_context("fork").Process(
        target=lambda: ledger.writer.record([note(ledger, "child")]),
    )
    child.start()
    child.join()
    assert child.exitcode == 0


def ends(url: str) -> None:
    """Records, and comes to its end without closing anything."""
    writing.EXIT_SECONDS = 0.2  # type: ignore[misc]
    ledger = Ledger.open(url)
    ready()
    for number in range(EVENTS):
        ledger.writer.record([note(ledger, f"recorded-{number}")])


def dies(url: str) -> None:
    """Records to a full queue, says how many went to the spool, and is killed."""
    ledger = Ledger.open(url)
    writer = Writer(lambda: ledger, Spool.at(url, SpoolSettings.from_env()), capacity=1)
    ready()
    for number in range(EVENTS):
        writer.record([note(ledger, f"recorded-{number}")])
    sys.stdout.write(f"{writer.spooled}\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    {"forks": forks, "leaves": leaves, "works": works, "ends": ends, "dies": dies}[sys.argv[1]](sys.argv[2])
