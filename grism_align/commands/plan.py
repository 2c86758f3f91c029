"""A plan of a run as text, and what is said of a run when it begins."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from grism_align.commands.columns import in_columns
from grism_align.commands.run import shown
from grism_align.workflows.closing_table import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from grism_align.commands.run import Planned, Prepared
    from grism_align.steps.pipeline import GrismAlignPipeline
    from grism_align.values.exposure import Exposure
    from grism_align.workflows.plan import RunPlan

_SHOWN = 6
_STEP_WORDS = {
    "source_catalog": "measure the sources of the direct exposures",
    "relative_align": "align the direct exposures with each other",
    "absolute_align": "align them with {catalog}",
    "visit_mosaic": "drizzle each visit",
    "grism_wcs_propagate": "correct the grism exposures",
}


def steps_of(pipeline: GrismAlignPipeline) -> list[str]:
    """Return the steps that would do something, in order.

    Parameters
    ----------
    pipeline : GrismAlignPipeline
        With its parameters.
    """
    names = [name for name in pipeline.step_defs if not getattr(pipeline, name).skip]
    return [name for name in names if name != "absolute_align" or pipeline.absolute_align.catalog]


def opening_lines(ready: Prepared) -> Iterator[str]:
    """Say what is there, and which parameters are not at their defaults.

    Parameters
    ----------
    ready : Prepared
        The run.
    """
    from grism_align.io.report.settings_rows import changed_of

    pipeline, exposures = ready.pipeline, ready.exposures
    visits = len({each.visit for each in exposures.exposures})
    yield (
        f"{exposures.product}: {_kinds(exposures.direct, 'direct')} and {_kinds(exposures.grisms, 'grism')} "
        f"{_plural(len(exposures.grisms), 'exposure')} of {visits} {_plural(visits, 'visit')}"
    )
    activities = [getattr(pipeline, name).activity("done", "") for name in steps_of(pipeline)]
    rows = changed_of(activities, exposures.parameter_file)
    yield f"parameters that differ from the defaults: {'' if rows else 'none'}".rstrip()
    for row in rows:
        unit, by = f" {row.unit}" if row.unit else "", "" if row.origin == "user" else f"; {row.origin}"
        yield f"  {row.step}.{row.name} = {row.value}{unit} (default {row.default}{by})"


def _kinds(exposures: Sequence[Exposure], kind: str) -> str:
    filters = Counter(each.filter for each in exposures)
    told = ", ".join(f"{n} {name}" for name, n in filters.items())
    return f"{len(exposures)} {kind}{f' ({told})' if told else ''}"


def _plural(n: int, noun: str) -> str:
    return noun if n == 1 else f"{noun}s"


def plan_text(planned: Planned) -> str:
    """Return a plan as text.

    Parameters
    ----------
    planned : Planned
        What would be done.
    """
    pipeline, plan = planned.prepared.pipeline, planned.run
    folder = str(shown(planned.prepared.destination.folder)) if pipeline.saves else "the folder that -o names"
    remarks = (
        *plan.check.problems,
        *plan.check.notes,
        *(f"visit {visit} overlaps no other: only a catalog ties it to them" for visit in plan.alone),
    )
    cached = planned.cached_catalogs
    actions = (f"  {text}" for text in _actions(plan, pipeline, folder, cached))
    lines = (*wrapped(remarks), "", *opening_lines(planned.prepared), "", "would", *wrapped(actions))
    return "\n".join([_exposure_table(plan), *lines])


def _exposure_table(plan: RunPlan) -> str:
    from grism_align.workflows.associate import start_of

    rows = [("visit", "exposure", "kind", "filter", "start", "governed by")]
    for each in plan.check.exposures.exposures:
        governors = ", ".join(plan.check.governors.get(each.key, ())) or "-"
        rows.append((each.visit, each.key, each.kind.value, each.filter, start_of(each), governors))
    return in_columns(rows)


def _actions(
    plan: RunPlan, pipeline: GrismAlignPipeline, folder: str, cached: Mapping[str, bool]
) -> Iterator[str]:
    step = pipeline.absolute_align
    for name in steps_of(pipeline):
        yield f"{_STEP_WORDS[name].format(catalog=step.catalog)} ({name})"
        if name == step.step_name:
            yield from (f"  {text}" for text in _of_cache(cached, is_offline=step.offline))
    where = "in place" if pipeline.in_place else f"to {folder}"
    yield f"write {len(plan.exposures)} {_plural(len(plan.exposures), 'exposure')} {where}"
    names = [path.name for path in plan.products]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    yield f"write {', '.join(names[:_SHOWN])}{more} to {folder}"
    yield f"write about {plan.size / 1e6:.0f} MB in all{_replaced(plan)}"
    yield f"take {_duration(plan.seconds)} and {plan.memory / 1e9:.1f} GB of memory for each process"


def _of_cache(cached: Mapping[str, bool], *, is_offline: bool) -> Iterator[str]:
    """Tell where catalogs of services would come from."""
    other = "is not in the cache, and offline no service is asked" if is_offline else "would be fetched"
    for catalog, is_there in cached.items():
        yield f"{catalog} {'is in the cache' if is_there else other}"


def _replaced(plan: RunPlan) -> str:
    n = len(plan.replaced)
    return f"; {n} {_plural(n, 'file')} {'is' if n == 1 else 'are'} there already and replaced" if n else ""


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {10 * max(round(seconds / 10), 1)} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
