"""A budget: how large a perturbation may be. What it is as a text, as a number and in words is decided here alone."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from pydantic_core import CoreSchema, core_schema

GREY = 255  # steps from black to white in a common image file


@dataclass(frozen=True, order=True)
class Budget:
    """An exact number in the units of the threat model's norm, never negative; budgets are ordered and hashable.

    Attributes:
        exact: as a fraction in lowest terms.
    """

    exact: Fraction

    @classmethod
    def parse(cls, value: object) -> Self:
        """From ``"8/255"``, ``"0.03"``, a number, or another budget.

        Raises:
            ValueError: it is no number, or negative.
        """
        try:
            exact = Fraction(str(value).replace(" ", ""))
        except (ValueError, ZeroDivisionError):
            raise ValueError("a budget is a number or a fraction such as '8/255'") from None
        if exact < 0:
            raise ValueError("a budget is not negative")
        return cls(exact)

    @property
    def text(self) -> str:
        """As suites' plans, records and hashes have it: ``8/255``, ``1/10``."""
        return f"{self.exact}"

    @property
    def value(self) -> float:
        """As a number to compute with."""
        return float(self.exact)

    @property
    def printed(self) -> str:
        """As column names print it (``%.4g``): ``0.03137``."""
        return f"{self.value:.4g}"

    @property
    def words(self) -> str:
        """As people write it: ``8/255`` of grey steps, ``0.1`` where it is a short decimal, else a fraction."""
        if Fraction(self.printed) == self.exact and len(self.printed.partition(".")[2]) <= 3:
            return self.printed
        steps = self.exact * GREY
        return f"{steps}/{GREY}" if steps.denominator == 1 else self.text

    @property
    def grey(self) -> str:
        """In grey steps of an image file: ``8``."""
        return f"{float(self.exact * GREY):.3g}"

    @property
    def percent(self) -> str:
        """As a share of 100: ``2.5``."""
        return f"{100 * self.value:.3g}"

    def __str__(self) -> str:
        """The text."""
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Read by :meth:`parse`, written as the text."""
        text = core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema())
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=text)


def at_budget(name: str, eps: Budget | None, between: str = "_") -> str:
    """A name and a printed budget, such as ``pgd_0.03137``; the name alone where there is none."""
    return name if eps is None else f"{name}{between}{eps.printed}"
