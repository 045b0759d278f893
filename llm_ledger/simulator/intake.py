"""Taking in the body of a new batch: what is refused at once. Params are only looked at later."""

from __future__ import annotations

import asyncio
import re
from hashlib import blake2b

import msgspec

from llm_ledger.simulator.batch import BatchItem
from llm_ledger.simulator.errors import invalid

__all__ = ["read_items"]

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_BITE = 2_000


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    custom_id: str
    params: msgspec.Raw


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    requests: list[_Item]


_DECODER = msgspec.json.Decoder(_Body)


async def read_items(body: bytes | bytearray, *, most: int) -> list[BatchItem]:
    """The items of a batch body. Raises ApiError 400 for a malformed body, no items or more than `most`, and
    for a bad or repeated custom id. Gives way to other requests while it reads.

    Params stay views into `body`: 230 MB of them cost no second copy.
    """
    try:
        requests = _DECODER.decode(body).requests
    except msgspec.ValidationError as error:
        raise invalid(f"requests: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"The request body is not valid JSON: {error}") from error
    if not requests:
        raise invalid("requests: List should have at least 1 item")
    if len(requests) > most:
        raise invalid(f"requests: List should have at most {most} items, not {len(requests)}")
    items: list[BatchItem] = []
    seen: set[str] = set()
    for index, request in enumerate(requests):
        if not _CUSTOM_ID.fullmatch(request.custom_id):
            raise invalid(f"requests.{index}.custom_id: String should match pattern '^{_CUSTOM_ID.pattern}$'")
        if request.custom_id in seen:
            raise invalid(f"requests.{index}.custom_id: '{request.custom_id}' is not unique in this batch")
        seen.add(request.custom_id)
        digest = blake2b(request.params, digest_size=16).digest()
        items.append(BatchItem(request.custom_id, request.params, digest))
        if index % _BITE == 0:
            await asyncio.sleep(0)
    return items
