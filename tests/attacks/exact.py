"""Exact minimal perturbations of digits_relu24 by mixed-integer programming, and attacks measured against them.

``python -m tests.attacks.exact`` prints the tables of docs/evaluation.md, for linf, l1 and l0. The formulation is that
of Tjeng, Xiao and Tedrake 2019 (arXiv:1711.07356): one binary for each hidden unit whose sign the ball does not fix;
in l0 also one for each pixel.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, milp

from benchmark import build_model, load_entry
from benchmark.attacks.base import attacks
from benchmark.data.base import Batch, Grid, datasets
from benchmark.schedule.plan import sample_order
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute

LARGEST = {"linf": 0.32, "l1": 8.0}  # budgets are searched below
SLACK = {"linf": 1e-5, "l1": 1e-4, "l0": 0.0}  # how much farther than the best attack the program looks


class Network:
    """Weights of the entry in float64, and the samples that it classifies right.

    Args:
        n: how many samples, the first right ones in the order of a suite with seed 0.
    """

    def __init__(self, n: int) -> None:
        self.model = build_model(load_entry("digits_relu24", [Path(__file__).parents[2] / "baselines"]))
        first, second = (m for m in self.model.network if isinstance(m, torch.nn.Linear))
        self.w1, self.b1 = (p.detach().double().numpy() for p in (first.weight, first.bias))
        self.w2, self.b2 = (p.detach().double().numpy() for p in (second.weight, second.bias))
        data = datasets.make("digits")
        index = data.index("test")
        batch = data.load("test", sample_order(index, 0, None), Grid())
        clean = tasks.make("classification").clean(self.model, batch)
        kept = np.flatnonzero(clean["correct"])[:n]
        self.batch = Batch(tuple(batch.ids[i] for i in kept), batch.inputs[kept], batch.labels[kept])
        self.clean = {name: values[kept] for name, values in clean.items()}

    def distance(self, i: int, most: float, norm: str = "linf") -> float:
        """Certified lower bound of sample i's distance to another class (the solver's dual bound, within 1e-6 of it).

        Args:
            i: position in the batch.
            most: norm of a perturbation that is known to break the sample.
            norm: linf, l1 or l0 (then a whole number; affordable where it is small).
        """
        x, label = self.batch.inputs[i].reshape(-1).astype(np.float64), int(self.batch.labels[i])
        logits = self.w2 @ np.maximum(self.w1 @ x + self.b1, 0) + self.b2
        best = most + SLACK[norm]
        for target in np.argsort(-logits):  # likely targets first: each lowers the bound for the rest
            if target != label:
                best = min(best, self._to(x, label, int(target), best, norm))
        return best

    def _to(self, x: np.ndarray, label: int, target: int, most: float, norm: str) -> float:
        """Distance to ``target``'s region within ``most``; ``most`` where the program finds none.

        Variables: the perturbation (64), its sizes (linf: one; l1: of each pixel; l0: whether each is changed), then
        the outputs and the binaries of the units of unknown sign.
        """
        reach = np.inf if norm == "l0" else most
        low, high = np.maximum(-x, -reach), np.minimum(1 - x, reach)
        at = self.w1 @ x + self.b1
        down = at - _gain(-self.w1, low, high, most, norm)
        up = at + _gain(self.w1, low, high, most, norm)
        on, open_ = np.flatnonzero(down >= 0), np.flatnonzero((down < 0) & (up > 0))
        d, k = len(x), len(open_)
        c = self.w2[target] - self.w2[label]
        eye, none = np.eye(d), np.zeros((k, d))
        below, above = {"linf": (np.ones((d, 1)),) * 2, "l1": (eye, eye), "l0": (np.diag(x), np.diag(1 - x))}[norm]
        m = below.shape[1]
        output = np.concatenate([c[on] @ self.w1[on], np.zeros(m), c[open_], np.zeros(k)])
        rest = c[on] @ at[on] + self.b2[target] - self.b2[label]
        units, total = np.zeros((d, 2 * k)), np.concatenate([np.zeros(d), np.ones(m), np.zeros(2 * k)])
        w, zero, one = self.w1[open_], np.zeros((k, m)), np.eye(k)
        rows = [
            (np.hstack([eye, below, units]), np.zeros(d), np.inf),  # size >= -d
            (np.hstack([-eye, above, units]), np.zeros(d), np.inf),  # size >= d
            (total[None], np.zeros(1), most),
            (output[None], np.array([-rest]), np.inf),  # the target's logit is not the smaller one
            (np.hstack([-w, zero, one, 0 * one]), at[open_], np.inf),  # z >= a
            (np.hstack([-w, zero, one, -np.diag(down[open_])]), -np.inf, at[open_] - down[open_]),  # z <= a - l (1-on)
            (np.hstack([none, zero, one, -np.diag(up[open_])]), -np.inf, np.zeros(k)),  # z <= u on
        ]
        largest = np.full(m, 1.0 if norm == "l0" else most)
        found = milp(
            total,
            constraints=[LinearConstraint(*row) for row in rows if row[0].shape[0]],
            bounds=Bounds(
                np.concatenate([low, np.zeros(m + 2 * k)]), np.concatenate([high, largest, up[open_], np.ones(k)])
            ),
            integrality=np.concatenate([np.zeros(d), np.full(m, float(norm == "l0")), np.zeros(k), np.ones(k)]),
            options={"mip_rel_gap": 0},
        )
        if found.status == 2:  # no input of the ball reaches the target
            return most
        assert found.status == 0, found.message
        bound = float(found.mip_dual_bound if found.mip_dual_bound is not None else found.fun)
        return float(np.ceil(bound - 1e-6)) if norm == "l0" else bound


def _gain(w: np.ndarray, low: np.ndarray, high: np.ndarray, most: float, norm: str) -> np.ndarray:
    """(H,) how much ``w`` (H, D) times a perturbation within the box and the ball can be.

    linf: the ball is in the box's bounds; l0: the ``most`` pixels of most gain; l1: spent on the steepest pixels first.
    """
    gain = np.maximum(w * low, w * high)
    if norm == "linf":
        return gain.sum(1)
    if norm == "l0":
        return np.sort(gain, axis=1)[:, ::-1][:, : round(most)].sum(1)
    order = np.argsort(-np.abs(w), axis=1)
    room = np.take_along_axis(np.where(w > 0, high, -low), order, 1)
    spent = np.clip(most - (room.cumsum(1) - room), 0, room)
    return (spent * np.abs(np.take_along_axis(w, order, 1))).sum(1)


def norms(network: Network, use: str, params: dict, levels: int = 8, norm: str = "linf") -> np.ndarray:
    """(N,) smallest verified norm of an attack's successes, inf where there is none.

    A fixed-budget attack runs at the budgets of a bisection of [0, LARGEST]; samples at the same budget are one batch.
    """
    attack, task = attacks.make(use, params), tasks.make("classification")
    n = len(network.batch)
    found, low, high = np.full(n, np.inf), np.zeros(n), np.full(n, LARGEST.get(norm, 64.0))
    fixed = attack.threat.kind == "fixed"
    for _ in range(levels if fixed else 1):
        budget = (low + high) / 2
        for eps in np.unique(budget) if fixed else [None]:
            where = np.flatnonzero(budget == eps) if fixed else np.arange(n)
            x, y = torch.as_tensor(network.batch.inputs[where]), torch.as_tensor(network.batch.labels[where])
            clean = {name: values[where] for name, values in network.clean.items()}
            rows, _ = execute(
                task, attack, network.model, x, y, clean, eps=eps, generator=Draws([int(i) for i in where])
            )
            won = np.where(rows["success"] & (rows["status"] == "ok"), rows[f"norm_{norm}"], np.inf)
            found[where] = np.minimum(found[where], won)
        slack = 1e-6 if norm == "linf" else 1e-5
        high, low = np.where(found <= budget + slack, budget, high), np.where(found <= budget + slack, low, budget)
    return found


ATTACKS: dict[str, tuple[str, dict]] = {
    "PGD, 40 steps": ("foolbox:LinfPGD", {"steps": 40, "rel_stepsize": 0.05}),
    "PGD, 200 steps": ("foolbox:LinfPGD", {"steps": 200, "rel_stepsize": 0.02}),
    "APGD on the cross-entropy": ("torchattacks:APGD", {"steps": 100}),
    "FAB": ("torchattacks:FAB", {"steps": 100}),
    "autoattack": ("autoattack", {"steps": 50}),
    "FMN": ("foolbox:LInfFMNAttack", {"steps": 200}),
    "DeepFool, linf (foolbox)": ("foolbox:LinfDeepFoolAttack", {}),
    "deepfool, linf (ours)": ("deepfool", {"norm": "linf"}),
    "deepfool (ours, l2)": ("deepfool", {}),
    "Square, 1,000 queries": ("torchattacks:Square", {"n_queries": 1000}),
    "HopSkipJump": (
        "foolbox:HopSkipJumpAttack",
        {"constraint": "linf", "steps": 20, "initial_gradient_eval_steps": 50, "max_gradient_eval_steps": 200},
    ),
}


OURS = {
    "linf": {
        "fmn (ours)": ("fmn", {"norm": "linf", "steps": 200}),
        "pdpgd (ours)": ("pdpgd", {"norm": "linf"}),
        "minimal-norm (ours)": ("minimal-norm", {"norm": "linf"}),
    },
    "l1": {
        "FMN (foolbox)": ("foolbox:L1FMNAttack", {"steps": 200}),
        "EAD (foolbox)": ("foolbox:EADAttack", {"steps": 200, "binary_search_steps": 5}),
        "fmn (ours)": ("fmn", {"norm": "l1", "steps": 200}),
        "pdpgd (ours)": ("pdpgd", {"norm": "l1"}),
        "minimal-norm (ours)": ("minimal-norm", {"norm": "l1"}),
    },
    "l0": {
        "FMN (foolbox)": ("foolbox:L0FMNAttack", {"steps": 200}),
        "fmn (ours)": ("fmn", {"norm": "l0", "steps": 200}),
        "pdpgd (ours)": ("pdpgd", {"norm": "l0"}),
        "sigma-zero (ours)": ("sigma-zero", {"steps": 500}),
        "minimal-norm (ours)": ("minimal-norm", {"norm": "l0"}),
    },
}
TABLES: dict[str, dict[str, tuple[str, dict]]] = {**OURS, "linf": {**ATTACKS, **OURS["linf"]}}


def table(network: Network, norm: str, levels: int) -> None:
    """Print one norm's table."""
    found = {name: norms(network, *attack, levels=levels, norm=norm) for name, attack in TABLES[norm].items()}
    best = np.min(list(found.values()), axis=0)
    start = time.perf_counter()
    exact = np.array([network.distance(i, best[i], norm) for i in range(len(best))])
    print(f"{norm}, {len(exact)} samples, exact in {time.perf_counter() - start:.1f} s: median {np.median(exact):.4f},"
          f" {exact.min():.4f} to {exact.max():.4f}\n")  # fmt: skip
    print(
        "| attack | median gap | mean gap | largest gap | broken | smallest norm - exact |\n|---|---|---|---|---|---|"
    )
    for name, values in found.items():
        won = np.isfinite(values)
        gap = np.where(won, values, np.nan) / exact - 1
        print(
            f"| {name} | {np.nanmedian(gap):.2%} | {np.nanmean(gap):.2%} | {np.nanmax(gap):.1%} | {won.sum()} of"
            f" {len(won)} | {np.nanmin(np.where(won, values - exact, np.nan)):.1e} |"
        )
    print()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--levels", type=int, default=8, help="steps of the bisection of fixed-budget attacks")
    parser.add_argument("--norms", nargs="+", choices=list(TABLES), default=list(TABLES))
    given = parser.parse_args()
    network = Network(given.samples)
    for norm in given.norms:
        table(network, norm, given.levels)


if __name__ == "__main__":
    main()
