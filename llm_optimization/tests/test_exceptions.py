"""The errors that are made here: where they stand in the ledger's tree, and what they say."""

from __future__ import annotations

import pickle
import re

import pytest

from ledger import errors
from llm_ledger.cli.guard import ExitCode, exit_code
from llm_optimization import exceptions

EXAMPLES: dict[errors.LedgerError, str] = {
    exceptions.UnsupportedProvider("acme"): "Unsupported provider type: acme",
    exceptions.UnsupportedProvider("acme", ["groq", "xai"]): "Unsupported provider type: acme; use one of groq, xai",
    exceptions.UnknownModel("gpt-9", "gpt-4, gpt-5"): "Model name gpt-9 not found in gpt-4, gpt-5",
    exceptions.NotWrappable("str", "it is no chat model"): "str cannot be wrapped: it is no chat model",
    exceptions.InvalidOptimizationConfig(["a: is 1", "b: is 2"]): "optimization settings: a: is 1; b: is 2",
    exceptions.MissingIntegration("groq", "langchain-groq", "groq"): "groq needs langchain-groq; "
    "pip install 'llm-ledger[groq]'",
    exceptions.BatchItemFailed("c1", "expired"): "request 'c1' ended as expired; `llm-ledger retry` queues it again",
    exceptions.BatchItemFailed(
        "c1", "errored", "invalid_request_error", "max_tokens: too large"
    ): "request 'c1' ended "
    "as errored (invalid_request_error: max_tokens: too large); correct it, and submit it again",
    exceptions.BatchItemFailed(
        "c1", "abandoned", None, "lost", may_be_paid=True
    ): "request 'c1' ended as abandoned (lost); "
    "it may have been answered and paid for: ask again under another key to pay once more",
    exceptions.BatchItemFailed("c1", "succeeded", None, "purged"): "request 'c1' ended as succeeded (purged); "
    "submit it under another key",
    exceptions.BatchIncomplete("nightly", ["c1", "c2"]): "2 requests under key 'nightly' are not answered yet; "
    "collect them later, or ask again with the same key",
}


def test_the_page_shows_the_tree_that_is() -> None:
    lines = re.findall(r"^    ([│├└─ ]*)([A-Z]\w+) *(?:and (\w+):)?", exceptions.__doc__ or "", flags=re.MULTILINE)
    path: list[type] = []
    for rails, name, also in lines:
        depth = len(rails) // 4
        error = getattr(exceptions, name)
        if error is not getattr(errors, name, None):
            assert [base.__name__ for base in error.__bases__] == [path[depth - 1].__name__, *filter(None, [also])]
        path[depth:] = [error]
    ours = set(exceptions.__all__) - set(errors.__all__)
    assert ours <= {name for _, name, _ in lines}
    assert {name for _, name, _ in lines} - ours == {"LedgerError", "InputError", "ConfigurationError"}


def test_the_ledgers_errors_are_the_same_under_both_names() -> None:
    assert all(getattr(exceptions, name) is getattr(errors, name) for name in errors.__all__)


@pytest.mark.parametrize(("error", "text"), EXAMPLES.items(), ids=[type(error).__name__ for error in EXAMPLES])
def test_an_error_is_one_line_that_says_what_to_do(error: errors.LedgerError, text: str) -> None:
    assert str(error) == text


def test_every_error_made_here_has_its_example() -> None:
    assert {type(error).__name__ for error in EXAMPLES} == set(exceptions.__all__) - set(errors.__all__)


def test_an_error_carries_what_it_speaks_of() -> None:
    unsupported = exceptions.UnsupportedProvider("acme", ["groq"])
    assert (unsupported.provider, unsupported.known) == ("acme", ("groq",))
    unknown = exceptions.UnknownModel("a", "b, c")
    assert (unknown.model, unknown.listed) == ("a", "b, c")
    unfit = exceptions.NotWrappable("str", "r")
    assert (unfit.kind, unfit.reason) == ("str", "r")
    assert exceptions.InvalidOptimizationConfig(iter(["a", "b"])).problems == ("a", "b")
    missing = exceptions.MissingIntegration("groq", "langchain-groq", "g")
    assert (missing.provider, missing.package, missing.extra) == ("groq", "langchain-groq", "g")
    failed = exceptions.BatchItemFailed("c", "errored", "t", "m")
    assert (failed.custom_id, failed.kind, failed.error_type, failed.message) == ("c", "errored", "t", "m")
    incomplete = exceptions.BatchIncomplete("k", iter(["a", "b"]))
    assert (incomplete.key, incomplete.outstanding) == ("k", ("a", "b"))


@pytest.mark.parametrize("error", EXAMPLES, ids=[type(error).__name__ for error in EXAMPLES])
def test_an_error_comes_out_of_another_process_as_it_went_in(error: errors.LedgerError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    ("kind", "builtin", "code"),
    [
        (exceptions.UnsupportedProvider, ValueError, ExitCode.INPUT),
        (exceptions.UnknownModel, ValueError, ExitCode.INPUT),
        (exceptions.NotWrappable, TypeError, ExitCode.INPUT),
        (exceptions.InvalidOptimizationConfig, Exception, ExitCode.UNUSABLE),
        (exceptions.MissingIntegration, Exception, ExitCode.UNUSABLE),
    ],
)
def test_a_caller_and_the_command_line_know_the_kind_of_error(
    kind: type[errors.LedgerError], builtin: type[Exception], code: ExitCode
) -> None:
    assert issubclass(kind, builtin)
    assert {exit_code(error) for error in EXAMPLES if isinstance(error, kind)} == {code}
