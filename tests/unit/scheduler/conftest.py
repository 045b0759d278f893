"""A world for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import shared_url
from tests.support.world import World


@pytest.fixture
def new_world() -> Iterator[Callable[..., World]]:
    """Worlds with a policy of their own; closed after the test."""
    made: list[World] = []

    def new_world(url: str | None = None, **options: Any) -> World:
        made.append(World(url, **options))
        return made[-1]

    yield new_world
    for world in made:
        world.close()


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    """One in memory, for tests of a single thread."""
    return new_world()


@pytest.fixture
def shared_world(new_world: Callable[..., World], tmp_path: Path) -> World:
    """One on disk, for tests of several threads or processes."""
    return new_world(shared_url(tmp_path))
