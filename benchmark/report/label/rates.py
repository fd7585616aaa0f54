"""A model's rates (or errors) by suite, for a model card."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from typing import Any

from benchmark.report.label import reconstruction
from benchmark.report.label.tested import Tested
from benchmark.reported import Estimate
from benchmark.spec.suite import write_eps


def card_metrics(tested: Tested) -> Iterator[dict[str, Any]]:
    """Rates (or errors) for a model card."""
    data = {"suite": tested.name, "dataset": tested.suite.dataset.label, "split": tested.suite.dataset.split}

    def metric(name: str, kind: str, estimate: Estimate, column: str, **settings: Any) -> dict[str, Any]:
        bounds = {"low": estimate.low, "high": estimate.high}
        interval = {name: float(f"{end:.6g}") for name, end in bounds.items() if not isnan(end)} | {"n": estimate.n}
        args = {"suite": tested.name, "column": column, **settings, **interval}
        return data | {"name": name, "type": kind, "value": float(f"{estimate.value:.6g}"), "args": args}

    if isinstance(tested, reconstruction.Rebuilt):
        for bar in reconstruction.bars(tested):
            yield metric(f"Relative error ({bar.name.lower()})", "relative_error", bar.estimate, bar.column)
        return
    accuracy = tested.clean.get("clean_acc")
    if accuracy is not None and not isnan(accuracy.value):
        yield metric(f"Accuracy (suite {tested.name})", "accuracy", accuracy, "clean_acc")
    threat = tested.suite.threat
    if threat is None or not tested.breaking(threat.norm):
        return
    column, estimate = tested.own_worst(threat.norm, threat.eps)
    if estimate.n and not isnan(estimate.value):
        names = [p.name for p in tested.breaking(threat.norm) if threat.eps in p.budgets or not p.budgets]
        settings = {"norm": threat.norm, "eps": str(threat.eps), "attacks": names}
        if tested.flags:
            settings["in_doubt"] = sorted({flag.name for flag in tested.flags})
        title = f"Adversarial accuracy (suite {tested.name}, {threat.norm}, eps = {write_eps(threat.eps)})"
        yield metric(title, "adversarial_accuracy", estimate, column, **settings)
