"""The bugs of `planted.toml`, which also says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

__all__ = ["PLANTED", "Planted"]


class Planted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`text`, which stands once in `file`, becomes `instead`. One of `tests` must fail then."""

    name: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]


class _List(msgspec.Struct, forbid_unknown_fields=True):
    bug: tuple[Planted, ...]


PLANTED: Final = msgspec.toml.decode((Path(__file__).parent / "planted.toml").read_bytes(), type=_List).bug
