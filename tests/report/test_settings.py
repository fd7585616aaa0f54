"""Every setting needed to repeat a table. Oracles: the plugins' own declarations, the suite file, the records."""

from __future__ import annotations

import json
import tomllib

import pytest

from benchmark.attacks.base import attacks
from benchmark.explainers.base import explainers
from benchmark.metrics.base import metrics
from benchmark.report.settings import ELSEWHERE, settings, settings_of
from benchmark.report.settings_text import part_cells, settings_lines
from benchmark.results.base import Results
from benchmark.store.folder import Store
from tests.conftest import REPOSITORY

FOLDERS = sorted(file.parent.name for file in (REPOSITORY / "results").glob("*/records.parquet"))


def of(suite):
    return settings(Results(Store(REPOSITORY / "results" / suite)))


@pytest.fixture(scope="module")
def digits():
    return of("digits")


def test_every_parameter_of_every_probe_of_digits_with_its_default(digits):
    """The suite file says what is given, the plugins' fields what stands by default."""
    written = tomllib.loads((REPOSITORY / "suites" / "digits.toml").read_text())
    parts = {(part.kind, part.name): part for part in digits.parts}
    count = 0
    for kind, registry in (("attack", attacks), ("explainer", explainers), ("metric", metrics)):
        for probe in written[f"{kind}s"]:
            part, given = parts[kind, probe["name"]], probe.get("params", {})
            plugin = registry.make(probe["use"], given)
            fields = set(type(plugin).model_fields) - {"member"}
            if ":" in probe["use"]:  # norm and kind stand in the threat model, the rest is the library's
                fields -= {"norm", "kind"}
            assert fields <= set(part.params)
            assert {key: part.params[key] for key in given} == given
            assert set(part.given) == set(given)
            for name in fields - set(given):
                assert part.params[name] == json.loads(plugin.model_dump_json())[name], (probe["name"], name)
            assert part.note == ""
            count += 1
    assert count == len(digits.parts) - 2  # and task and dataset


def test_a_library_s_own_defaults_are_there(digits):
    """Oracle: the constructors of foolbox 3.3.4 and torchattacks 3.5.1."""
    parts = {part.name: part for part in digits.parts}
    assert parts["pgd"].params["random_start"] is True
    assert parts["apgd"].params | {"rho": 0.75, "eot_iter": 1, "loss": "ce"} == parts["apgd"].params
    assert (parts["pgd"].library, parts["pgd"].version) == ("foolbox==3.3.4", "1")


def test_samples_budgets_threats_and_batches_are_those_of_the_plan(digits):
    parts = {part.name: part for part in digits.parts}
    assert (parts["pgd"].n, parts["saliency"].n, parts["sparseness"].n) == (300, 100, 100)
    assert parts["pgd"].budgets == ("1/20", "1/10", "3/20", "1/5", "3/10")
    assert parts["deepfool"].threat["kind"] == "minimal"
    assert parts["noise"].threat["control"] is True
    assert parts["pgd"].batch_sizes == (100,)
    assert digits.facts["seed"].startswith("0;")
    assert digits.facts["device"] == "cpu (x86_64)"
    assert digits.versions["foolbox"] == "3.3.4"


def test_a_fit_says_what_it_was_fitted_on():
    part = next(part for part in of("universal").parts if part.name == "uap-sgd")
    assert part.others == {"fit_samples": 1000, "transfer": True}
    assert "fit_samples: 1000" in " ".join(part_cells(part))


@pytest.mark.parametrize("suite", FOLDERS)
def test_every_suite_has_its_settings_with_every_default_and_no_path(suite):
    found = of(suite)
    assert [part.name for part in found.parts if part.note] == []
    text = json.dumps(found.plain()) + "\n".join(settings_lines(found))
    assert "/work" not in text
    assert "/home" not in text
    assert set(found.plain()) == {"facts", "versions", "parts"}
    json.dumps(found.plain(), allow_nan=False)


def test_a_plugin_of_another_version_shows_what_was_given_alone(digits):
    plan = json.loads((REPOSITORY / "results" / "digits" / "plan.json").read_text())
    plan["versions"] |= {"deepfool": "1", "pgd": "1+foolbox==2.0"}
    plan["suite"]["attacks"].append({"name": "mine", "use": "not-here", "params": {"a": 1}})
    parts = {part.name: part for part in settings_of(plan).parts}
    assert (parts["deepfool"].params, parts["deepfool"].note) == ({}, ELSEWHERE)
    assert parts["pgd"].params == {"steps": 20, "rel_stepsize": 0.1}
    assert (parts["mine"].params, parts["mine"].note) == ({"a": 1}, ELSEWHERE)
    assert parts["noise"].params == {"draws": 1}  # without records nothing but devices, dates and batches is lost
    assert "device" not in settings_of(plan).facts


def test_what_differs_among_records_is_listed_once_and_sorted():
    plan = json.loads((REPOSITORY / "results" / "digits" / "plan.json").read_text())
    cell = next(cell["hash"] for cell in plan["cells"] if cell["probe"] == "pgd")
    heads = [
        {"hash": cell, "batch_size": size, "provenance": {"device": device, "date": f"{day}T01:00:00Z", "torch": torch}}
        for size, device, day, torch in ((50, "cuda", "2026-02-02", "2.1"), (100, "cpu", "2026-01-01", "2.0"))
    ]
    for order in (heads, heads[::-1]):
        found = settings_of(plan, order)
        assert found.facts["device"] == "cpu, cuda"
        assert found.facts["computed"] == "2026-01-01 to 2026-02-02"
        assert found.versions == {"torch": "2.0, 2.1"}
        assert next(part for part in found.parts if part.name == "pgd").batch_sizes == (50, 100)
