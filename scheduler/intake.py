"""Requests come in: a file of them is checked whole, then recorded; or nothing of it is.

What will be sent is what was given: the bytes of `params` are kept as they stand in the line.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import IO, Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select

from ledger import Ledger, NewEvent, schema
from ledger.codec import canonical_json, parse_json
from ledger.crash_points import within
from ledger.errors import ChangedRequest, InputError, InvalidLine, InvalidRequest, VersionConflict
from ledger.events import RequestRecorded, request_stream
from ledger.ids import derive
from ledger.payloads import EncodedPayload, encode_payload
from scheduler.pages import pages
from scheduler.providers.base import RequestFacts, RequestRules

__all__ = ["Intake", "Refused", "Submission", "check_key", "check_tags"]

PAGE: Final = 2000
"""Requests recorded in one append: enough to amortise its sync, few enough to stay small in memory."""

MAX_TAGS: Final = 8
_CUSTOM_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# Control characters, and half surrogates: what a command line's bytes become that are not UTF-8.
_UNUSABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

Progress = Callable[[int], None]
Refused = Callable[[InvalidLine], None]


class Submission(msgspec.Struct, frozen=True):
    """What became of a file: lines in it, newly recorded, skipped because they are on record already."""

    total: int
    recorded: int
    skipped: int


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    custom_id: str
    params: msgspec.Raw
    tags: dict[str, str] = {}


class _Prepared(msgspec.Struct, array_like=True):
    """A checked line, as it waits in the spool until the whole file is known to be good."""

    line: int
    custom_id: str
    params: bytes
    params_hash: bytes
    tags: dict[str, str]
    facts: RequestFacts


_decode_line = msgspec.json.Decoder(_Line).decode
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Prepared).decode


class Intake:
    """The way into one ledger, under one `key`: (key, custom_id) is a request's identity.

    `model`, if given, replaces the model of every line; `tags` are added where a line does not say otherwise.
    """

    def __init__(
        self,
        ledger: Ledger,
        rules: RequestRules,
        *,
        key: str = "default",
        model: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self._ledger = ledger
        self._rules = rules
        self._key = check_key(key)
        self._model = model
        self._tags = check_tags(tags or {})

    def submit(
        self,
        lines: Iterable[bytes],
        *,
        progress: Progress = lambda _lines: None,
        refused: Refused | None = None,
    ) -> Submission:
        """Check every line, then record those that are new. Memory stays bounded: checked lines go to a spool.

        Raises `InvalidLine` or `ChangedRequest` with the line's number, and records nothing then. With `refused`
        a line that is invalid by itself is told there, and left out as if it were blank. `progress` is called with
        the number of further lines checked or recorded; each line passes it twice.
        """
        with tempfile.TemporaryFile(prefix="llm-ledger-") as spool:
            total, new = self._check(lines, spool, progress, refused)
            if new < total:
                progress(total - new)
            spool.seek(0)
            recorded = 0
            for page in _pages(_spooled(spool)):
                recorded += self._record(page)
                progress(len(page))
        return Submission(total, recorded, total - recorded)

    def _check(
        self, lines: Iterable[bytes], spool: IO[bytes], progress: Progress, refused: Refused | None
    ) -> tuple[int, int]:
        """How many lines there are, and how many of them are not on record; those are in the spool then."""
        first_seen: dict[bytes, int] = {}
        total = new = 0
        for page in _pages(self._prepared(lines, first_seen, refused)):
            unknown = self._unknown(page)
            for line in unknown:
                packed = _pack(line)
                spool.write(len(packed).to_bytes(4))
                spool.write(packed)
            total += len(page)
            new += len(unknown)
            progress(len(page))
        return total, new

    def _prepared(
        self, lines: Iterable[bytes], first_seen: dict[bytes, int], refused: Refused | None
    ) -> Iterator[_Prepared]:
        for number, text in enumerate(lines, start=1):
            if not text.strip():
                continue
            try:
                prepared = self._prepare(number, text)
            except InvalidLine as error:
                if refused is None:
                    raise
                refused(error)
                continue
            identity = prepared.custom_id.encode()
            if identity in first_seen:
                raise InvalidLine(
                    number, f"custom_id {prepared.custom_id!r} stands in line {first_seen[identity]} already"
                )
            first_seen[identity] = number
            yield prepared

    def _prepare(self, number: int, text: bytes) -> _Prepared:
        """One line, checked. Raises `InvalidLine`."""
        try:
            value = parse_json(text)
            _check_shape(value)
            line = _decode_line(text)
            params, body = self._params(value["params"], bytes(line.params))
            facts = self._rules.check(params)
            tags = {**self._tags, **check_tags(line.tags)}
            check_tags(tags)
        except InvalidRequest as error:
            raise InvalidLine(number, f"params.{error}" if error.path else f"params: {error}") from None
        except (ValueError, InputError) as error:  # msgspec's errors are ValueErrors
            raise InvalidLine(number, str(error)) from None
        except RecursionError:
            raise InvalidLine(number, "nested too deeply") from None
        if not _CUSTOM_ID.fullmatch(line.custom_id):
            raise InvalidLine(number, "custom_id must be 1 to 64 of the characters a-z A-Z 0-9 _ -")
        if len(body) > self._rules.limits.max_bytes - 1024:
            raise InvalidLine(number, f"params of {len(body):,} bytes do not fit into any batch")
        canonical = sha256(canonical_json(params)).digest()
        return _Prepared(number, line.custom_id, body, canonical, tags, facts)

    def _params(self, params: Any, raw: bytes) -> tuple[dict[str, Any], bytes]:
        """Params to check, and the bytes to send: `betas` travels as a header, not in the body."""
        if not isinstance(params, dict):
            raise InvalidRequest("", "must be an object")
        if self._model is None and "betas" not in params:
            return params, raw
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        members.pop("betas", None)
        if self._model is not None:
            params = {**params, "model": self._model}
            members["model"] = msgspec.Raw(msgspec.json.encode(self._model))
        return params, msgspec.json.encode(members)

    def _unknown(self, page: list[_Prepared]) -> list[_Prepared]:
        """What is new of the page. Raises `ChangedRequest` if a custom id is on record with other params."""
        column = schema.requests.c
        query = select(column.custom_id, column.params_hash).where(
            column.key == self._key, column.custom_id.in_([line.custom_id for line in page])
        )
        with self._ledger.read() as connection:
            known = {row.custom_id: row.params_hash for row in connection.execute(query)}
        for line in page:
            if known.get(line.custom_id, line.params_hash) != line.params_hash:
                raise ChangedRequest(self._key, line.custom_id, line.line)
        return [line for line in page if line.custom_id not in known]

    def _record(self, page: list[_Prepared]) -> int:
        """Record a page. Returns how many: what other processes record meanwhile is no longer new."""
        while page:
            try:
                self._append(page)
                break
            except VersionConflict:
                unknown = self._unknown(page)
                if len(unknown) == len(page):
                    raise
                page = unknown
        return len(page)

    def _append(self, page: list[_Prepared]) -> None:
        now = self._ledger.clock.now()
        events: list[NewEvent] = []
        bodies: list[EncodedPayload] = []
        for line in page:
            body = encode_payload(line.params, shared=True)
            bodies.append(body)
            events.append(self._event(line, body, now))
        with within("record"):
            self._ledger.append(events, payloads=bodies)

    def _event(self, line: _Prepared, body: EncodedPayload, now: datetime) -> NewEvent:
        request_id: UUID = self._ledger.ids.new()
        facts = line.facts
        data = RequestRecorded(
            key=self._key,
            custom_id=line.custom_id,
            provider=self._rules.name,
            model=facts.model,
            mode="batch",
            api_version=facts.api_version,
            params_hash=line.params_hash.hex(),
            payload=body.digest.hex(),
            size=body.size,
            max_tokens=facts.max_tokens,
            estimated_input_tokens=facts.estimated_input_tokens,
            betas=facts.betas,
            tags=line.tags,
            markers=facts.markers,
            prefix=facts.prefix,
        )
        return NewEvent(request_stream(str(request_id)), 1, data, derive(request_id, "recorded"), now, request_id)


def _check_shape(value: Any) -> None:
    """Raises `InputError` for what is no request line, in the words of the people who write such lines."""
    if not isinstance(value, dict):
        raise InputError("must be an object with custom_id, params and, if you like, tags")
    for name in ("custom_id", "params"):
        if name not in value:
            raise InputError(f'"{name}" is missing')
    if strange := sorted(value.keys() - {"custom_id", "params", "tags"}):
        raise InputError(f'"{strange[0][:64]}" is no field of a request line; use custom_id, params, tags')
    if not isinstance(value["custom_id"], str):
        raise InputError("custom_id must be a string")
    tags = value.get("tags", {})
    if not isinstance(tags, dict) or not all(isinstance(tag, str) for tag in tags.values()):
        raise InputError("tags must be an object whose values are strings")


def check_key(key: str) -> str:
    """The key, if it is usable. Raises `InputError`."""
    if not key or len(key) > 200 or _UNUSABLE.search(key):
        raise InputError("a key is 1 to 200 characters without control characters")
    return key


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags, if they are usable. Raises `InputError`."""
    if len(tags) > MAX_TAGS:
        raise InputError(f"a request carries at most {MAX_TAGS} tags, here are {len(tags)}")
    for name, value in tags.items():
        if not name or len(name) > 64 or len(value) > 256 or _UNUSABLE.search(name + value):
            raise InputError(
                f"tag {name[:64]!r}: a name is 1 to 64 characters, a value at most 256, without control characters"
            )
    return dict(tags)


def _spooled(spool: IO[bytes]) -> Iterator[_Prepared]:
    while length := spool.read(4):
        yield _unpack(spool.read(int.from_bytes(length)))


def _pages(lines: Iterable[_Prepared]) -> Iterator[list[_Prepared]]:
    return pages(lines, lambda line: len(line.params), most=PAGE)
