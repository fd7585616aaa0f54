"""A budget is one value from the suite to the CSV."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from benchmark.spec.budget import Budget, at_budget
from benchmark.spec.suite import ThreatSpec


@pytest.mark.parametrize(
    ("given", "text", "printed", "words"),
    [
        ("8/255", "8/255", "0.03137", "8/255"),
        ("8 / 255", "8/255", "0.03137", "8/255"),
        ("0.1", "1/10", "0.1", "0.1"),
        (0.1, "1/10", "0.1", "0.1"),
        (2, "2", "2", "2"),
        ("1/3", "1/3", "0.3333", "85/255"),
        ("1/7", "1/7", "0.1429", "1/7"),
    ],
)
def test_what_is_written_of_a_budget(given, text, printed, words):
    budget = Budget.parse(given)
    assert (budget.text, budget.printed, budget.words, str(budget)) == (text, printed, words, text)
    assert budget == Budget.parse(budget.text) == Budget.parse(budget)
    assert at_budget("pgd", budget) == f"pgd_{printed}"


def test_budgets_are_ordered_and_hashable():
    small, large = Budget.parse("1/100"), Budget.parse("2/20")
    assert small < large == Budget.parse("0.1")
    assert {large: 1}[Budget.parse(0.1)] == 1
    assert at_budget("pgd", None) == "pgd"


@pytest.mark.parametrize("given", ["-1", "1/0", "much", None, [1]])
def test_no_budget(given):
    with pytest.raises(ValidationError, match="a budget is"):
        ThreatSpec(norm="linf", eps=given)


def test_plans_have_the_text():
    spec = ThreatSpec(norm="linf", eps="0.1")
    assert spec.model_dump(mode="json")["eps"] == "1/10"
    assert ThreatSpec.model_validate_json(spec.model_dump_json()) == spec
