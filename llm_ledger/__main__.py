"""`python -m llm_ledger` is `llm-ledger`."""

from llm_ledger.cli import main

main()
