"""A small run with artefacts and its page, which the tests of pages share."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import Workplace

SUITE = """
title = "Two nets <b>&</b> a page"
description = "What `assay report` shows; nothing here is a </script> tag."
entries = ["digits_mlp", "digits_cnn_adv"]

[dataset]
use = "digits"
samples = 40

[threat]
norm = "linf"
eps = "0.15"

[run]
chunk = 20
time_limit = 120

[[attacks]]
name = "fgsm"
use = "foolbox:LinfFastGradientAttack"
budgets = ["0.05", "0.15"]

[[attacks]]
name = "deepfool"
use = "deepfool"

[[attacks]]
name = "noise"
use = "noise-linf"
budgets = ["0.15"]

[[metrics]]
name = "sparseness"
use = "sparseness"

[[metrics]]
name = "faithfulness-estimate"
use = "faithfulness-estimate"

[[explainers]]
name = "saliency"
use = "saliency"

[[explainers]]
name = "random"
use = "random"
"""


@pytest.fixture(scope="session")
def paged(tmp_path_factory):
    """A workplace where ``pages`` was run and its page made: ``folder``, ``page`` and what the command said."""
    place = Workplace(tmp_path_factory.mktemp("paged"))
    place.suite("pages", SUITE)
    place.assay("run", "pages")
    said = place.assay("report", "pages", "--html").stdout
    folder: Path = place.root / "results" / "pages"
    return SimpleNamespace(place=place, folder=folder, page=folder / "report.html", said=said)
