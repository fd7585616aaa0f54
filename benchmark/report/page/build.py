"""The page as a whole: what stands in it, in which order, and the template that is filled with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.report.curves import WORST, Curves, curves, describe
from benchmark.report.drift import attacked_explanations, compact, says
from benchmark.report.explainer_ranks import control_lines
from benchmark.report.explanations import explanation_remarks, one_method, scoring_lines, similarity
from benchmark.report.formats import MOST_PAIRS
from benchmark.report.gallery import CAPTION
from benchmark.report.leaderboard import Leaderboard
from benchmark.report.markdown import RANKS
from benchmark.report.page.about import facts, made, versions
from benchmark.report.page.attacked import gallery
from benchmark.report.page.charts import panels
from benchmark.report.page.explaining import explained_grid, maps, ranks_grid
from benchmark.report.page.glance import glances
from benchmark.report.page.matrix import matrix
from benchmark.report.page.pictures import figure
from benchmark.report.page.samples import Samples
from benchmark.report.page.tables import Grid, Head, board_grid, is_matrix, matrix_grid, of_frame
from benchmark.report.soundness import confounded, soundness
from benchmark.reported import Extras
from benchmark.results.base import Results
from benchmark.results.probes import published
from benchmark.store.atomic import write_atomic

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

FILE = "report.html"
EMPHASIS = re.compile(r"\*(\w[^*<>]*\w)\*")
ROWS = 400  # of an attack's own table
ALIKE = 2  # pictures of one kind that are open at first
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'"
)


@dataclass(frozen=True)
class Picture:
    """A picture that a report left: data URI, size in pixels, what it shows."""

    uri: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Part:
    """A table or picture of the task's, an attack's or a metric's own."""

    key: str
    title: str
    caption: str
    grid: Grid | None
    picture: Picture | None
    more: str = ""
    folded: bool = False


def write_page(
    results: Results, board: pd.DataFrame, explained: pd.DataFrame, found: Extras, others: Sequence[str] = ()
) -> Path:
    """Write ``report.html`` beside the tables.

    Args:
        results, board, explained, found: as :func:`benchmark.report.write.write_report` returns them: the page embeds
            the pictures that it wrote.
        others: names of the folders beside it whose pages this one links to.

    Returns:
        the file.
    """
    text = page(results, board, explained, found, curves(results), others)
    write_atomic(results.store.folder / FILE, text.encode())
    return results.store.folder / FILE


def page(
    results: Results,
    board: pd.DataFrame,
    explained: pd.DataFrame,
    found: Extras,
    drawn: Curves,
    others: Sequence[str] = (),
) -> str:
    """The whole page. Same records and artefacts, same text.

    Args:
        results: of the suite.
        board: its leaderboard.
        explained: its table of explanations, empty without explainers.
        found: tables and pictures of its task, attacks and metrics.
        drawn: its curves.
        others: names of the folders beside it whose pages this one links to.
    """
    samples, suite, lead = Samples(results), results.suite, Leaderboard.of(results, board)
    stems = [stem for stem in found.captions if stem.startswith("explanations_")]
    content = {
        "policy": POLICY,
        "title": suite.title or suite.name,
        "suite": suite.name,
        "description": suite.description.strip(),
        "facts": facts(results),
        "others": [(name, f"../{name}/{FILE}") for name in others],
        "judgement": samples.judgement,
        "glances": glances(results, board),
        "headline": suite.threat is not None,
        "board": board_grid(results, lead),
        "lead": lead,
        "fold_pairs": len(lead.pairs) > MOST_PAIRS,
        "matrix": matrix(samples),
        "curves": panels(results, drawn),
        "areas": _areas(drawn),
        "described": describe(drawn.areas) if len(drawn.areas) else [],
        "pictured": results.pictured,
        "shots": gallery(samples),
        "kept_here": bool(list(results.store.artefacts.glob("*"))) if results.store.artefacts.is_dir() else False,
        "parts": _parts(results, found, {*stems, *drawn.figures}),
        "published": _published(results, board),
        "faults": found.faults,
        "explanations": _explanations(results, explained, stems, found.captions) if len(explained) else None,
        "combined": _combined(results),
        "combined_remarks": confounded([suite], len(board)),
        "reasons": results.reasons(),
        "made": made(results),
        "versions": versions(results),
        "stray": results.stray,
    }
    data = samples.data()
    return _filled(content, data)


def _filled(content: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """The template with its style, its script and its data, all of which travel in the package."""
    from markupsafe import Markup

    own = files("benchmark.report.page")
    style, script = (own.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    # the JSON stands in a script element: nothing in it may end that element or start another
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    template = _environment().from_string(own.joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(content, style=Markup(style), script=Markup(script), data=Markup(text))


def _environment() -> Environment:
    from jinja2 import Environment, StrictUndefined

    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"code": _code, "breaks": _breaks}
    return made


def _code(text: str) -> Markup:
    """Text of a suite or a caption: what stands between backticks as code, between asterisks emphasised."""
    from markupsafe import Markup, escape

    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else Markup(EMPHASIS.sub(r"<em>\1</em>", str(escape(part))))
        for i, part in enumerate(parts)
    )


def _breaks(text: str) -> Markup:
    """A name that may go on in the next line after an underscore."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in str(text).split("_"))


# -- parts -------------------------------------------------------------------------------------------------


def _areas(drawn: Curves) -> Grid | None:
    """Area under every curve and its optimality."""
    if not len(drawn.areas):
        return None
    table = drawn.areas.assign(attack=drawn.areas["attack"].replace(WORST, "all together"))
    return of_frame("areas", table[["model", "norm", "attack", "n", "area", "area_low", "area_high", "optimality"]])


def _parts(results: Results, found: Extras, without: set[str]) -> list[Part]:
    """Tables and pictures that task, attacks and metrics made, in the order of leaderboard.md."""
    parts: list[Part] = []
    for stem in dict.fromkeys([*found.tables, *found.captions, *found.figures]):
        if stem in without:
            continue
        table, whole = found.shown.get(stem, found.tables.get(stem)), found.tables.get(stem)
        square = table is not None and is_matrix(table, results.models)
        shown = None if square else _picture(results, stem)
        if table is None and shown is None:
            continue
        grid = None
        if table is not None:
            key, models = f"part-{stem}", {m: Head(m, m, numeric=False) for m in results.models}
            grid = matrix_grid(key, table.head(ROWS)) if square else of_frame(key, table.head(ROWS), heads=models)
        cut = whole is not None and (len(whole) > ROWS or stem in found.shown)
        title = stem.replace("_", " ")
        more = f"The whole table is {stem}.csv, beside this page." if cut else ""
        like = [part for part in parts if part.key.partition("_")[0] == stem.partition("_")[0]]
        folded = shown is not None and len(like) >= ALIKE
        parts.append(Part(stem, title[:1].upper() + title[1:], found.captions.get(stem, ""), grid, shown, more, folded))
    return parts


def _picture(results: Results, stem: str) -> Picture | None:
    """A picture in ``figures/``, where there is one."""
    file = results.store.folder / "figures" / f"{stem}.png"
    if not file.is_file():
        return None
    uri, width, height = figure(file)
    return Picture(uri, width, height, stem.replace("_", " "))


def _published(results: Results, board: pd.DataFrame) -> Grid | None:
    table = published(results, board)
    return of_frame("published", table, "Beside published figures") if len(table) else None


def _explanations(
    results: Results, explained: pd.DataFrame, stems: Sequence[str], captions: Mapping[str, str]
) -> dict[str, Any]:
    """Everything of the part on explanations."""
    drawn = maps(results)
    pictures = []
    for stem in [] if drawn else stems:
        if (one := _picture(results, stem)) is not None:
            pictures.append(replace(one, alt=f"explanations of {stem.removeprefix('explanations_')}"))
    drift = compact(attacked_explanations(results))
    return {
        "grid": explained_grid(results, explained),
        "scoring": scoring_lines(results),
        "remarks": explanation_remarks(results),
        "worth": soundness(results),
        "ranks": ranks_grid(results),
        "ranks_said": RANKS.replace("`", ""),
        "controls": list(control_lines(results)),
        "alike": one_method(results)
        or (["No two explainers are one method here."] if len(similarity(results)) else []),
        "maps": drawn,
        "pictures": pictures,
        "caption": next((captions[stem] for stem in stems), CAPTION),
        "drift": of_frame("drift", drift, filtered="models and explainers") if len(drift) else None,
        "drift_said": says(drift).replace("`", ""),
    }


def _combined(results: Results) -> Grid | None:
    """Robustness beside explanation quality, as ``combined.csv`` has it."""
    file = results.store.folder / "combined.csv"
    if not file.is_file():
        return None
    table = pd.read_csv(file)
    names = [str(name) for name in table if not str(name).startswith("best_") and table[name].notna().any()]
    names = names if table["suite"].nunique() > 1 else [name for name in names if name != "suite"]
    first = ["model", *[name for name in names if name != "model"]]
    return of_frame("combined", table[first], "Robustness beside explanation quality", filtered="models")
