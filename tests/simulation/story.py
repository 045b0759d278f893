"""One seed's story: what is submitted, who works, what befalls them; and then everything goes well."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from typing import Any

import msgspec

from ledger.backends import Database
from scheduler import Policy
from tests.simulation.by_hand import something_by_hand
from tests.simulation.mischief import FATES, Hands, mischief
from tests.simulation.stage import Actor, Stage
from tests.support.fake_provider import OTHERS, OURS, Turn
from tests.support.mortal import Death

__all__ = ["Story"]

_DAY = 86_400.0
_JUMPS = (3_600.0, -3_600.0, 40 * _DAY, -40 * _DAY)
_CALM_TURNS = 250
"""Turns of workers within which everything is done once nothing goes wrong any more (I5)."""

Tell = Callable[[str], object]


class Story:
    """`play` it, then judge what is on `stage`. `database` is where the ledger lives, in memory by default."""

    def __init__(self, seed: int, database: Database | None = None, tell: Tell = lambda _line: None) -> None:
        self.random = random = Random(seed)
        self.tell = tell
        self.budget = random.choice([2_000_000_000, 5_000_000_000, 8_000_000_000]) if random.random() < 0.15 else None
        self.stage = Stage(random, self._policy(), database)
        provider = self.stage.provider
        provider.batch_seconds = random.choice([0.0, 5.0, 20.0])
        provider.visible_after = random.choice([0.0, 5.0, 15.0])
        provider.results_after = random.choice([0.0, 5.0])
        self.sent_within_budget: tuple[int, int] | None = None
        """How many batches and calls the provider had taken when the budget was lifted."""
        self.others_key = random.random() < 0.1
        self.twins = not self.others_key and self.budget is None and random.random() < 0.5
        """Whether there may be two batches for one intent, whatever anybody does. No budget foresees them."""
        self.audited = self.twins or random.random() < 0.1
        self.misfortune = random.choice([0.1, 0.25, 0.4])
        self.faulty_turns = random.randint(3, 12)
        self.turns = 0
        self.aged = False
        self.nested = False
        self.logged: list[str] = []
        self.actors: list[Actor] = []
        for _ in range(random.choice([1, 1, 2, 2, 3, 4])):
            self.actors.append(self.newborn())
        self.at_work = self.actors[0]
        self.person = self.stage.actor(lambda: False, lambda _call: Turn())

    def _policy(self) -> Policy:
        return Policy(
            max_requests=self.random.choice([2, 3, 5]),
            max_bytes=100_000,
            max_refusals=self.random.choice([0, 1, 2]),
            max_attempts=self.random.choice([1, 2, 3]),
            max_age_seconds=5.0,
            poll_min_seconds=6.0,
            poll_max_seconds=30.0,
            retry_min_seconds=1.0,
            retry_max_seconds=8.0,
            lease_seconds=15.0,
            submit_quiet_seconds=60.0,
            fallback_to_standard=self.random.random() < 0.4,
            budget_total=self.budget,
        )

    # --- what befalls them -------------------------------------------------------------------------------------

    def happens(self, chance: float) -> bool:
        """Whether it does: never once the faulty turns are over."""
        return self.turns < self.faulty_turns and self.random.random() < chance

    def newborn(self) -> Actor:
        """A process that begins now. Its clock may be anywhere, its key another account's."""
        ahead = self.random.choice(_JUMPS) if self.random.random() < 0.15 else 0.0
        account = OTHERS if self.others_key and self.happens(0.3) else OURS
        actor = self.stage.actor(lambda: self.happens(0.02), self.turn, ahead=ahead, account=account)
        self.tell(f"{actor.name} begins, {ahead:+.0f} s, account {account.credential[:4]}")
        return actor

    def turn(self, call: str) -> Turn:
        """How a call of whoever is at work goes."""
        twins = self.twins and call == "create"
        if not self.happens(0.5 if twins else self.misfortune):
            return Turn()
        turn = mischief(call, self.random, Hands(self.die, self.others), twins=twins)
        self.tell(f"  {self.at_work.name}: {call} goes wrong: {_told(turn)}")
        return turn

    def die(self) -> None:
        """Whoever is at work is gone."""
        mortal: Any = self.at_work.context.ledger
        mortal.die()

    def others(self) -> None:
        """It takes long: leases end, and the others go on meanwhile."""
        if self.nested:
            return
        self.nested, present = True, self.at_work
        for _ in range(self.random.randint(1, 4)):
            self.stage.clock.advance(self.random.choice([1.0, 8.0, 16.0, 40.0]))
            self.work(self.random.choice(self.actors))
        self.nested, self.at_work = False, present

    def meanwhile(self) -> None:
        """What happens between two turns."""
        if self.happens(0.08):
            nonce = self.random.choice(["theirs", f"{self.random.getrandbits(64):016x}"])
            self.stage.provider.stranger(self.random.randint(1, 3), nonce)
        if self.happens(0.06):
            jump = self.random.choice(_JUMPS)
            actor = self.random.choice(self.actors)
            actor.clock.jump(jump)
            self.tell(f"the clock of {actor.name} jumps by {jump:+.0f} s")
        if self.happens(0.06):
            self.submit()
        if self.happens(0.15):
            self.tell(f"by hand: {something_by_hand(self.person, self.random)}")
        if self.audited and self.happens(0.06):
            self.audit(self.random.choice(self.actors))
        if self.happens(0.04):
            self.lose()

    def lose(self) -> None:
        """Somebody deletes a batch that has ended, or nobody looks for a month."""
        if not self.stage.all_known():
            return
        if self.random.random() < 0.5:
            self.month()
        else:
            for held in self.random.sample(self.stage.provider.batches, 1):
                held.deleted = bool(held.fates) and not held.strange
                self.tell(f"{held.id} is {'deleted' if held.deleted else 'left alone'}")

    def month(self) -> None:
        """Nobody looks for so long that results are no longer kept."""
        self.stage.clock.advance(30 * _DAY)
        self.tell("a month passes")

    def submit(self) -> None:
        """Somebody wants something answered."""
        draw = self.random.choice
        bodies = self.stage.submit(
            self.random.choice([1, 1, 1, 2, 2, 3]),
            key=draw(["default", "nightly"]),
            version=draw(["2023-06-01", "2026-10-21"]),
            betas=draw([(), (), ("context-1m",)]),
            tags=draw([{}, {"team": "search"}, {"team": "ads", "stage": "test"}]),
        )
        for body in bodies:
            if self.stage.policy.fallback_to_standard and self.random.random() < 0.3:
                self.stage.provider.fates[body].extend(["overloaded"] * 3)  # enough for a call, as often as not
            self.stage.provider.fates[body].extend(self.random.choices(FATES, k=draw([0, 0, 0, 0, 1, 1, 3])))
            if self.random.random() < 0.04:
                self.stage.provider.poison.add(body)
        self.tell(f"{len(bodies)} requests are recorded")

    # --- the play ----------------------------------------------------------------------------------------------

    def play(self) -> None:
        """All of it. Raises AssertionError if it does not come to an end (I5)."""
        with _listening(self.logged):
            self.submit()
            rest = 3.0
            while not self.over():
                self.turns += 1
                assert self.turns < self.faulty_turns + _CALM_TURNS, f"I5: not done after {self.turns} turns"
                self.meanwhile()
                if self.turns == self.faulty_turns:
                    self.calm()
                if not self.aged and self.turns >= self.faulty_turns + 30:
                    self.age()
                worked = self.work(self.random.choice(self.actors))
                if not self.happens(0.3):
                    rest = 3.0 if worked else min(rest * 1.5, 60.0)
                    self.stage.clock.advance(max(self.stage.until_due(self.actors), rest))

    def over(self) -> bool:
        """Whether all is done, and an audit finds nothing to do either."""
        if not self.stage.queue().idle or self.turns < self.faulty_turns:
            return False
        self.stage.clock.advance(2_000)  # whatever still runs anywhere has ended then
        if self.audited:
            self.audit_all()
        return self.stage.queue().idle

    def age(self) -> None:
        """A month passes, and what was deleted is given up; but not before every twin was found."""
        if self.stage.all_known():
            self.aged = True
            self.month()
        elif self.audited:
            self.audit_all()

    def audit_all(self) -> None:
        """An audit of each account."""
        for actor in {actor.session.account_in_use: actor for actor in self.actors}.values():
            self.audit(actor)

    def calm(self) -> None:
        """From here on all goes well: every account's key is in use, there is money, and what is lost is old."""
        self.tell("from here on all goes well")
        if self.budget is not None:
            self.sent_within_budget = (len(self.stage.provider.batches), len(self.stage.provider.standard))
        self.stage.policy = msgspec.structs.replace(self.stage.policy, budget_total=None)
        for account in (OURS, OTHERS) if self.others_key else ():
            # Whoever looks first keeps the batch from the others for a while: with a clock ahead, always.
            for actor in self.actors:
                actor.clock.ahead = timedelta()
            if not any(actor.session.account_in_use == account for actor in self.actors):
                self.actors.append(self.stage.actor(lambda: False, self.turn, account=account))

    def work(self, actor: Actor) -> bool:
        """A turn of one worker; if it dies of it, another takes its place. Returns whether it did anything."""
        before = self.stage.queue()
        if self.stage.until_due([actor]) == 0:  # if nothing is, the worker would find nothing: asking it takes long
            with self._mortal(actor):
                if before.waiting:
                    actor.worker.plan()
                actor.worker.advance()
        return self.stage.queue().position != before.position

    def audit(self, actor: Actor) -> None:
        """A worker compares what the provider has with the ledger; it may die of that, too."""
        with self._mortal(actor):
            found = actor.worker.audit()
            self.tell(f"audit by {actor.name}: {found} found")

    @contextmanager
    def _mortal(self, actor: Actor) -> Iterator[None]:
        self.at_work = actor
        try:
            yield
        except Death:
            self.tell(f"  {actor.name} dies")
            self.actors = [self.newborn() if one is actor else one for one in self.actors]
        assert actor.worker.mishaps.errors == {}, actor.worker.mishaps.errors


def _told(turn: Turn) -> str:
    """The fault, without what it has in common with a call that goes well."""
    said = {name: value for name, value in vars(turn).items() if value != getattr(Turn, name, None)}
    return ", ".join(f"{name}={getattr(value, '__name__', repr(value))}" for name, value in said.items())


@contextmanager
def _listening(lines: list[str]) -> Iterator[None]:
    """What is logged goes to `lines`, and nowhere else."""
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("ledger", "scheduler")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True
