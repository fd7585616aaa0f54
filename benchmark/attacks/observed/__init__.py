"""Other attacks, measured as AttackBench does: the best point that each asked about within a budget of queries."""

from benchmark.attacks.observed.observed import BestObserved

__all__ = ["BestObserved"]
