"""What stands in answers that arrive whole and are wrong: lines of results, counts of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from llm_ledger.simulator.faults import Fault

__all__ = ["miscounted", "spoiled"]

_RESULT = b'"result":{'
_LEVELS = 100_000
_PADDING = 100_000_000
_PIECE = 4_096

_MEMBERS: dict[str, bytes] = {
    "nul": b"\x00",
    "nan": b'"simulated":NaN,',
    "duplicate_key": b'"type":"canceled",',
    "invalid_utf8": b'"simulated":"\xff\xfe",',
}
"""What a line is spoiled with, as the first member of its result."""


def spoiled(lines: Iterable[bytes], count: int, fault: Fault) -> Iterator[bytes]:
    """The file of `count` lines as the fault shows it, in pieces of no particular length. A line beyond the end is
    counted from the beginning again."""
    wholly = _WHOLLY.get(fault.kind)
    if wholly is not None:
        yield from wholly(lines)
        return
    begin = fault.line % count
    for index, line in enumerate(lines):
        if begin <= index < begin + fault.lines:
            yield from _spoil(line, index, fault)
        else:
            yield line


def _spoil(line: bytes, index: int, fault: Fault) -> Iterator[bytes]:
    match fault.kind:
        case "missing":
            return
        case "duplicated":
            yield from (line, line)
        case "foreign":
            yield line
            yield b'{"custom_id":"stranger-%d",' % index + line.partition(b",")[2]
        case "nul_escaped":
            yield line.replace(b'"id":"', b'"id":"\\u0000', 1)
        case _:
            head, result, rest = line.partition(_RESULT)
            if fault.kind == "duplicate_key":
                head = b'{"custom_id":"stranger-%d",' % index + head[1:]
            yield from (head, result)
            yield from _member(fault)
            yield rest


def _member(fault: Fault) -> Iterator[bytes]:
    match fault.kind:
        case "deep":
            levels = fault.size or _LEVELS
            yield b'"simulated":' + b"[" * levels + b"]" * levels + b","
        case "huge_line":
            yield b'"simulated":"'
            for begin in range(0, fault.size or _PADDING, _PIECE):
                yield b"x" * min(_PIECE, (fault.size or _PADDING) - begin)
            yield b'",'
        case kind:
            yield _MEMBERS[kind]


def _after_bom(lines: Iterable[bytes]) -> Iterator[bytes]:
    yield b"\xef\xbb\xbf"
    yield from lines


_WHOLLY: dict[str, Callable[[Iterable[bytes]], Iterable[bytes]]] = {
    "bom": _after_bom,
    "crlf": lambda lines: (line.replace(b"\n", b"\r\n") for line in lines),
    "empty_lines": lambda lines: (b"\n \n" + line + b"\r\n" for line in lines),
    "shuffled": lambda lines: reversed(list(lines)),
}
"""What befalls the file as a whole."""


def miscounted(shown: dict[str, Any], off_by: int) -> dict[str, Any]:
    """A batch as shown, with a count that is wrong: the first that is not 0. None falls below 0."""
    counts = dict(shown["request_counts"])
    name = next(name for name, count in counts.items() if count)
    counts[name] = max(counts[name] + off_by, 0)
    return {**shown, "request_counts": counts}
