"""Reading price sheets: what they may say, and how they are refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger.errors import ConfigurationError
from ledger.pricing import PriceBook, PriceKey, Rates

SHEET = """
provider: acme
entries:
  - name: Anvil
    models: [anvil-1, anvil-one]
    web_search: "4"
    geo: {us: "1.25"}
    rows:
      - from: 2026-01-01T00:00:00Z
        standard: {input: "1", output: "2", write_5m: "1.5", write_1h: "2", read: "0.1"}
        batch: half
      - from: "2026-02-01T09:15:00+09:00"
        standard: {input: "3", output: "6", write_5m: "4.5", write_1h: "6", read: "0.3"}
        batch: {input: "2", output: "5", write_5m: "3", write_1h: "4", read: "0.25"}
        above:
          - prompt_over: 200000
            standard: {input: "30", output: "60", write_5m: "45", write_1h: "60", read: "3"}
            batch: half
"""
SECOND = datetime(2026, 2, 1, 0, 15, tzinfo=UTC)


def rates(*usd_per_million: float) -> Rates:
    plain, output, write_5m, write_1h, read = (round(amount * 10**6) for amount in usd_per_million)
    return Rates(plain, output, write_5m, write_1h, read, web_search=4_000_000_000)


def test_a_sheet_is_read_into_whole_pico_usd() -> None:
    book = PriceBook.from_yaml(SHEET)
    first = datetime(2026, 1, 1, tzinfo=UTC)
    assert book.rates(PriceKey("acme", "anvil-one", "batch"), first) == rates(0.5, 1, 0.75, 1, 0.05)
    assert book.rates(PriceKey("acme", "anvil-1", "standard", geo="us"), first) == rates(1.25, 2.5, 1.875, 2.5, 0.125)


def test_a_batch_column_of_its_own_is_taken_as_it_stands() -> None:
    book = PriceBook.from_yaml(SHEET)
    batch = PriceKey("acme", "anvil-1", "batch")
    assert book.epoch(batch, datetime(2026, 3, 1, tzinfo=UTC)) == SECOND
    assert book.rates(batch, SECOND) == rates(2, 5, 3, 4, 0.25)
    assert book.standard_rates(batch, SECOND) == rates(3, 6, 4.5, 6, 0.3)
    us = PriceKey("acme", "anvil-1", "batch", geo="us")
    assert book.rates(us, SECOND) == rates(2.5, 6.25, 3.75, 5, 0.3125)


def test_a_step_applies_from_its_prompt_on() -> None:
    book = PriceBook.from_yaml(SHEET)
    below = PriceKey("acme", "anvil-1", "batch", prompt_over=100_000)
    above = PriceKey("acme", "anvil-1", "batch", prompt_over=200_000)
    assert book.rates(below, SECOND).input == 2_000_000
    assert book.rates(above, SECOND) == rates(15, 30, 22.5, 30, 1.5)


def test_the_order_of_models_in_a_sheet_means_nothing() -> None:
    turned = SHEET.replace("[anvil-1, anvil-one]", "[anvil-one, anvil-1]")
    assert PriceBook.from_yaml(turned).digest == PriceBook.from_yaml(SHEET).digest


FAULTS = [
    # replaced in the sheet, by what, and what is said of it
    ('read: "0.1"', "read: 0.1", r"Expected `str`, got `float` - at `\$.rows\[0\].standard.read`"),
    ('input: "1",', 'input: "-1",', r".* at `\$.rows\[0\].standard.input`"),
    ('input: "1",', 'input: "1e3",', r".* at `\$.rows\[0\].standard.input`"),
    ('input: "1",', "", r".* missing required field `input`"),
    ('input: "1",', 'input: "1", fee: "2",', r".* unknown field `fee`"),
    ("batch: half", "batch: third", r".* at `\$.rows\[0\].batch`"),
    ("anvil-1, anvil-one", "", r".* at `\$.models`"),
    ("us:", "eu:", r".* unknown field `eu` - at `\$.geo`"),
    ("2026-01-01T00:00:00Z", "2026-01-01", r".* at `\$.rows\[0\].from`"),
    ("2026-01-01T00:00:00Z", '"2026-01-01T00:00:00"', r".* at `\$.rows\[0\].from`"),
    ("00:00:00Z", "00:07:00Z", r"rows\[0\].from: 2026-01-01T00:07:00\+00:00 is not on a quarter of an hour"),
    ("2026-01-01", "2026-03-01", r"rows: 2026-02-01 00:15 is not after the row above"),
    ("2026-01-01T00:00", "2026-02-01T00:15", r"rows: 2026-02-01 00:15 is not after the row above"),
    ("200000", "150000", r"rows\[1\].above\[0\].prompt_over: 150000 is none of"),
    ('read: "0.1"', 'read: "0.000001"', r"rows\[0\].batch.read: comes to 1/2 pico-USD"),
    ('us: "1.25"', 'us: "1.00000001"', r"rows\[0\].standard.input: comes to 100000001/100 pico-USD"),
    ('"4"', '"0.0000000001"', r"web_search: comes to 1/10 pico-USD"),
]


@pytest.mark.parametrize(("old", "new", "complaint"), FAULTS)
def test_a_wrong_entry_is_refused_by_file_name_and_field(old: str, new: str, complaint: str) -> None:
    assert old in SHEET
    with pytest.raises(ConfigurationError, match=rf"^acme.yaml: entry 'Anvil': {complaint}"):
        PriceBook.from_yaml(SHEET.replace(old, new, 1), "acme.yaml")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("name: Anvil", "title: Anvil", r"entry 0: .*"),
        ("provider: acme", "supplier: acme", r".* `supplier`"),
        ("provider: acme", "provider: [", r"while parsing"),
    ],
)
def test_a_wrong_sheet_is_refused_by_file(old: str, new: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^acme.yaml: {complaint}"):
        PriceBook.from_yaml(SHEET.replace(old, new, 1), "acme.yaml")
