"""DECISIONS: what happens next with a request, one step at a time, each step on record before the next."""

from __future__ import annotations

from scheduler.context import Context
from scheduler.intake import Intake, Submission
from scheduler.loop import Loop
from scheduler.policy import Policy
from scheduler.settings import SchedulerSettings
from scheduler.worker import Worker

__all__ = ["Context", "Intake", "Loop", "Policy", "SchedulerSettings", "Submission", "Worker"]
