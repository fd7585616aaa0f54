"""What a suite puts together must fit: its task's kind of inputs against its data, attacks, explainers and metrics.

Oracle: the declarations themselves; each refusal names suite, probe, what it accepts, what the task asks with.
"""

import pytest

from benchmark.attacks.base import attacks
from benchmark.data.base import datasets
from benchmark.errors import EntryError, SpecError
from benchmark.explainers.base import explainers
from benchmark.inputs import ANYTHING, kinds, takes
from benchmark.metrics.base import metrics
from benchmark.schedule.kinds import check_kinds
from benchmark.schedule.request import PlannedEntry
from benchmark.spec.suite import SuiteSpec
from benchmark.spec.suites import find_suites, load_suite
from benchmark.tasks.base import tasks


def suite(**changed):
    given = {"name": "s", "entries": ["one"], "dataset": {"use": "digits"}} | changed
    return SuiteSpec.model_validate(given)


MRI = {"task": "reconstruction", "dataset": {"use": "phantoms", "size": 16}}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (MRI | {"dataset": {"use": "digits"}}, "dataset 'digits': 'digits' holds 'image', the task 'reconstruction'"),
        ({"dataset": {"use": "phantoms"}}, "holds 'measurement', the task 'classification' asks with 'image'"),
        (MRI | {"attacks": [{"name": "a", "use": "noise-l2"}]}, "attack 'a': 'noise-l2' accepts 'image', the task"),
        ({"attacks": [{"name": "a", "use": "pnas"}]}, "attack 'a': 'pnas' accepts 'measurement', the task"),
        (
            MRI | {"explainers": [{"name": "e", "use": "saliency"}]},
            "explainer 'e': 'saliency' accepts 'image', the task",
        ),
        (MRI | {"metrics": [{"name": "m", "use": "road"}]}, "metric 'm': 'road' accepts 'image', the task"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changed, said):
    with pytest.raises(SpecError) as refused:
        check_kinds(suite(**changed), [])
    assert str(refused.value).startswith("suite 's', ")
    assert said in str(refused.value)
    assert "assay list" in str(refused.value)


def test_an_entry_of_another_task_is_refused():
    with pytest.raises(EntryError, match=r"'net' is made for the task 'reconstruction', suite 's' asks for"):
        check_kinds(suite(), [PlannedEntry("net", "0", "reconstruction")])


def test_what_only_sees_elements_goes_with_every_task():
    anything = {
        "attacks": [{"name": "a", "use": "identity"}],
        "explainers": [{"name": "e", "use": "random"}],
        "metrics": [{"name": "m", "use": "sparseness"}],
    }
    check_kinds(suite(**MRI, **anything), [])
    check_kinds(suite(**anything), [])
    assert takes(ANYTHING, "tokens")
    assert kinds(ANYTHING) == "anything"
    assert kinds(("image", "tokens")) == "'image' or 'tokens'"


def test_every_suite_of_ours_fits():
    for name in find_suites():
        check_kinds(load_suite(name), [])


def test_every_plugin_says_what_it_takes_or_holds():
    for registry in (attacks, explainers, metrics):
        for name, cls in registry.classes().items():
            assert cls.accepts, name
            assert isinstance(cls.accepts, tuple), name
    for registry in (datasets, tasks):
        for name, cls in registry.classes().items():
            assert isinstance(cls.inputs, str), name
