"""Plans of an older version: keys that a suite has gained since have their defaults, so guests keep their rows.

Oracle: the same plan with every key written out.
"""

import copy

from benchmark.schedule.run import _comparable
from benchmark.spec.suite import SuiteSpec

PLAN = {
    "plan_version": 1,
    "dataset": {"digest": "d"},
    "task": {"use": "classification"},
    "versions": {"a": "1"},
    "suite": {
        "name": "old",
        "dataset": {"use": "digits"},
        "entries": ["digits_mlp"],
        "explainers": [{"name": "a", "use": "saliency"}],
    },
}


def test_a_key_that_an_older_plan_lacks_has_its_default():
    new = copy.deepcopy(PLAN)
    new["suite"] = SuiteSpec.model_validate(PLAN["suite"]).model_dump(mode="json")
    assert new["suite"] != PLAN["suite"]
    assert _comparable(new) == _comparable(PLAN)


def test_what_differs_still_differs():
    for key, value in (("seed", 1), ("explainers", [{"name": "a", "use": "random"}]), ("unknown", 1)):
        other = copy.deepcopy(PLAN)
        other["suite"][key] = value
        assert _comparable(other) != _comparable(PLAN)
