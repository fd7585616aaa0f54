"""Which places are decided, in words. Oracle: the definition, pair by pair; sentences on tables made by hand."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.report.rows import pairs
from benchmark.report.standings import groups, standing_words
from benchmark.sentences import listed
from benchmark.stats import Pair, ranks_of
from tests.report.test_leaderboard import Made


@st.composite
def cases(draw):
    names = [f"m{i}" for i in range(draw(st.integers(1, 6)))]
    made = [Pair(a, b, 0.1, 0.01, draw(st.sampled_from([a, b, None]))) for a, b in combinations(names, 2)]
    return names, made


@settings(deadline=None)
@given(cases())
def test_a_place_is_decided_where_its_model_differs_from_every_other(case):
    names, made = case
    found = groups(names, made)
    assert sorted(model for group in found for model in group.models) == names
    for group in found:
        assert [names[place - 1] for place in group.places] == list(group.models)
        for model in group.models:
            alone = all(pair.better is not None for pair in made if model in (pair.a, pair.b))
            assert alone == (len(group.models) == 1)
    of = {model: i for i, group in enumerate(found) for model in group.models}
    assert all(pair.better is not None for pair in made if of[pair.a] != of[pair.b])
    for group in found:
        inside = [p for p in made if {p.a, p.b} <= set(group.models) and p.better is not None]
        assert {better for better, _ in group.better} <= set(group.models)
        assert len(group.better) == len(inside)


def words(tmp_path, **models):
    made = Made(tmp_path, tuple(models), chunks=(40,))
    for model, right in models.items():
        made.clean(model, [1] * right + [0] * (40 - right) if isinstance(right, int) else right)
    board = made.report().reset_index()
    ranked, tests = pairs(made.results)
    known = board["rank"].notna()
    assert dict(zip(board["model"][known], board["rank"][known], strict=True)) == ranks_of(ranked, tests)
    return standing_words(made.results, board)


def test_all_decided_none_decided_and_one_of_each(tmp_path):
    for name in ("all", "none", "mixed", "one", "lost"):
        (tmp_path / name).mkdir()
    assert words(tmp_path / "all", a=40, b=20, c=5) == [
        "Decided on clean_acc: places 1 (a), 2 (b) and 3 (c); each differs significantly from every other model."
    ]
    assert words(tmp_path / "none", a=40, b=39, c=38) == [
        "No place is decided on clean_acc: the data do not tell a, b and c apart."
    ]
    assert words(tmp_path / "mixed", a=40, b=39, c=5) == [
        "Decided on clean_acc: place 3 (c); it differs significantly from every other model.",
        "Not decided: places 1 and 2 on clean_acc: the data do not tell a and b apart.",
    ]
    assert words(tmp_path / "one", a=40) == ["a alone has a rank on clean_acc: there is no place to decide."]
    assert words(tmp_path / "lost", a=40, b=20, c="failed")[-1] == (
        "Without a place: c (samples lack a verdict on clean_acc)."
    )


def test_a_pair_that_is_decided_within_an_undecided_group_is_named(tmp_path):
    """40, 35 and 31 right of the same 40: five discordant pairs decide nothing, nine do (p = 0.004 before Holm)."""
    assert words(tmp_path, a=40, b=35, c=31) == [
        "No place is decided on clean_acc: the data do not tell a, b and c apart, save that a is better than c."
    ]


@pytest.mark.parametrize(("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), ("abc", "a, b and c")])
def test_names_in_a_sentence(names, text):
    assert listed(list(names)) == text
