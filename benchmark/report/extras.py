"""Tables and pictures of a report that its task, its attacks and its metrics make themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmark.report.gallery import gallery
from benchmark.reported import Extras
from benchmark.results.base import Results
from benchmark.results.explained import explained_views
from benchmark.results.probes import views
from benchmark.results.task import TaskView


def extras(results: Results) -> Extras:
    """Tables and pictures of the task, of the explanations, of all attacks and of all metrics."""
    found, known = Extras(), views(results)
    makers: list[tuple[str, Callable[[], Extras]]] = [
        (results.task.name, partial(results.task.extras, TaskView(results))),
        ("explanations", partial(gallery, results)),
    ]
    for cls in dict.fromkeys(type(view.attack) for view in known):
        makers.append((cls.use, partial(cls.extras, [view for view in known if type(view.attack) is cls])))
    explained = explained_views(results)
    for kind in dict.fromkeys(type(view.metric) for view in explained):
        makers.append((kind.use, partial(kind.extras, [view for view in explained if type(view.metric) is kind])))
    for name, make in makers:
        try:
            own = make()
        except Exception as error:  # a stranger's plugin costs its own part of the report, no more
            own = Extras(faults=[f"tables and pictures of {name}: {type(error).__name__}: {error}"])
        found.faults += own.faults
        stated = results.plan["dataset"].get("facts", {})  # what every table must say of the data
        found.tables |= {stem: table.assign(**stated) for stem, table in own.tables.items()}
        found.shown |= {stem: table.assign(**stated) for stem, table in own.shown.items()}
        found.captions |= own.captions
        found.figures |= own.figures
        found.notes |= own.notes
    return found
