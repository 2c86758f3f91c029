"""What spectra tell of the offsets of grism exposures: the tables and figures of the page on spectra.

``python docs/spectra_study.py`` simulates fields of WFC3/IR with dithers that err by themselves, aligns the
direct exposures, measures the spectra of the grism exposures, some of the sources at a time, and compares the
offsets with the true ones. It prints tables and writes ``docs/figures/spectra_*.png``. Some minutes.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from grism_align.algorithms.spectra.cutouts import SpectralRange, cut_spectra
from grism_align.algorithms.spectra.offsets import Spectrum, measure_offsets
from grism_align.algorithms.spectra.shifts import ExpectedStretch, SpectralShifts
from grism_align.algorithms.spectra.template import KNOTS_ACROSS, TemplatePrior, fit_template
from grism_align.simulation import PointingErrors, case_c, simulate
from grism_align.simulation.instruments import ELEMENTS
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.settings import TraceSettings
from grism_align.values.sphere import sky_to_vector, vector_to_sky
from grism_align.values.trace import TraceModel
from grism_align.workflows.traces.survey import Survey, views

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.template import SpectrumCutout
    from grism_align.simulation import Truth
    from grism_align.values.field import ExposureSet

# all exposures of the study have their sources at the same places
_STEADY = ExpectedStretch(np.zeros(2), np.eye(2))
_FIGURES = Path(__file__).parent / "figures"
_INK, _FAINT, _BLUE, _ORANGE, _GREEN = "#1b1f24", "#8a929c", "#0068a8", "#c56500", "#007d5c"
_STYLE = {
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _FAINT,
    "legend.frameon": False,
}
_MAGNITUDES = ((16.0, 19.0), (19.0, 20.0), (20.0, 21.0), (21.0, 22.0), (22.0, 23.0), (23.0, 24.0))
_NUMBERS = (5, 10, 20, 40, 80, 160)
_END = 16.0  # pixels: what belongs to an end of an order
_NEAR = 3.0  # pixels from the trace within which light is summed
_BRIGHT = 80  # sources of the parts of spectra


@dataclass(frozen=True, eq=False)
class Field:
    """The spectra of one field, the brightest first, magnitudes, and the true offsets, (E, 2) pixels."""

    spectra: tuple[Spectrum, ...]
    mag: NDArray[np.float64]
    offset: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offset)


def field_of(seed: int) -> Field:
    """Simulate a visit of one direct and four grism exposures, and cut its spectra out."""
    plan = case_c(errors=PointingErrors(jitter_of_grisms=True))
    plan = replace(plan, visits=plan.visits[:1])
    with tempfile.TemporaryDirectory() as folder:
        truth = simulate(plan, Path(folder), np.random.default_rng(seed))
        steps = {"absolute_align": {"skip": True}, "grism_wcs_propagate": {"spectra": "off"}}
        result = GrismAlignPipeline.call(
            [str(path) for path in truth.paths], steps=steps, configure_log=False
        )
        return Field(*_cut(result), _true_offsets(truth, result))


def _cut(result: ExposureSet) -> tuple[tuple[Spectrum, ...], NDArray[np.float64]]:
    survey = Survey.of(result, result.grism, TraceSettings())
    order = ELEMENTS["wfc3_ir"]["G141"].orders[0]
    model = TraceModel.straight(order.start, order.end, order.offset, order.slope)
    span = SpectralRange.of(model, np.zeros((1, 2)))
    cut: dict[int, list[SpectrumCutout]] = {}
    for number, exposure in enumerate(result.grisms):
        for image, view in views(survey.job(exposure)):
            for each in cut_spectra(image, view, model, span, 1.0, number):
                cut.setdefault(each.row, []).append(each.cutout)
    mag = next(iter(survey.sources.values())).mag
    rows = [row for row, cutouts in sorted(cut.items()) if len(cutouts) == len(result.grisms)]
    spectra = tuple(Spectrum(row, 1, tuple(cut[row]), span.first, span.length) for row in rows)
    return spectra, mag[rows]


def _true_offsets(truth: Truth, result: ExposureSet) -> NDArray[np.float64]:
    """Return true minus predicted pixels of the middles of the exposures, less what all have in common."""
    found = []
    # the frame is that of the one direct exposure, with its error of pointing
    to_frame = truth[result.direct[0].key].rotation.T
    for grism in result.grisms:
        chip = grism.chips[0]
        middle = (np.array([chip.shape[::-1]]) - 1) / 2
        true = truth[grism.key].chips[chip.number].to_sky(middle)
        sky = vector_to_sky(sky_to_vector(true) @ to_frame)
        given = chip.wcs.corrected(result.grism[grism.key].transform)
        found.append((middle - given.to_pixel(sky))[0])
    return np.array(found) - np.mean(found, axis=0)


@dataclass(frozen=True, eq=False)
class Row:
    """What some of the spectra tell: their number in a field, and errors and claims, (2,) pixels, rms."""

    name: str
    n: float
    error: NDArray[np.float64]
    claimed: NDArray[np.float64]

    def cells(self) -> list[str]:
        """Return the cells of a table."""
        pairs = zip(self.error, self.claimed, strict=True)
        numbers = [f"{1e3 * value:.1f}" for pair in pairs for value in pair]
        return [self.name, f"{self.n:.0f}", *numbers]


def row(name: str, fields: Sequence[Field], chosen: Callable[[Field], list[Spectrum]]) -> Row | None:
    """Measure the offsets of the exposures by chosen spectra alone, in all fields."""
    number, squares, variances = [], [], []
    for one in fields:
        spectra = chosen(one)
        found = (
            measure_offsets(spectra, np.zeros((len(one), 2)), _STEADY, np.random.default_rng(1))
            if spectra
            else None
        )
        if found is None:
            continue
        number.append(len(spectra))
        squares.append((found.offset - one.offset) ** 2)
        variances.append(np.diag(found.covariance).reshape(-1, 2))
    if not number:
        return None
    error, claimed = (np.sqrt(np.mean(np.concatenate(each), axis=0)) for each in (squares, variances))
    return Row(name, float(np.mean(number)), error, claimed)


def by_magnitude(fields: Sequence[Field]) -> list[Row]:
    """Take the sources of one magnitude each."""

    def between(low: float, high: float) -> Callable[[Field], list[Spectrum]]:
        return lambda one: [s for s, m in zip(one.spectra, one.mag, strict=True) if low <= m < high]

    rows = [row(f"{low:.0f} - {high:.0f}", fields, between(low, high)) for low, high in _MAGNITUDES]
    return [each for each in rows if each is not None]


def by_number(fields: Sequence[Field]) -> list[Row]:
    """Take the brightest spectra, more of them in each row."""

    def brightest(n: int) -> Callable[[Field], list[Spectrum]]:
        return lambda one: list(one.spectra[:n])

    rows = [row(f"{n} brightest", fields, brightest(n)) for n in _NUMBERS]
    return [each for each in rows if each is not None]


def by_part(fields: Sequence[Field]) -> list[Row]:
    """Take parts of the brightest spectra: the ends of the order, or what is between them."""

    def parts(of: Callable[[Spectrum], bool], *, ends: bool) -> Callable[[Field], list[Spectrum]]:
        return lambda one: [_masked(each, ends=ends) for each in one.spectra[:_BRIGHT] if of(each)]

    rows = [
        row("all", fields, lambda one: list(one.spectra[:_BRIGHT])),
        row("the ends of the order", fields, parts(lambda _: True, ends=True)),
        row("between, spectra with a line", fields, parts(has_line, ends=False)),
        row("between, spectra without", fields, parts(lambda each: not has_line(each), ends=False)),
    ]
    return [each for each in rows if each is not None]


def _masked(spectrum: Spectrum, *, ends: bool) -> Spectrum:
    """Return a spectrum of which only the ends of the order have weight, or only what is between them."""
    begin, end = spectrum.first + 10.0, spectrum.first + spectrum.length - 6.0
    cutouts = []
    for cutout in spectrum.cutouts:
        nearest = np.minimum(np.abs(cutout.along - begin), np.abs(cutout.along - end))
        keep = nearest < _END if ends else (nearest >= _END) & (cutout.along > begin) & (cutout.along < end)
        cutouts.append(replace(cutout, weight=cutout.weight * keep))
    return replace(spectrum, cutouts=tuple(cutouts))


def has_line(spectrum: Spectrum) -> bool:
    """Tell whether the light along a spectrum has a peak that is no continuum's, in all exposures."""
    inner = _masked(spectrum, ends=False)
    peaks = []
    for cutout in inner.cutouts:
        light = np.where((np.abs(cutout.across) < 2) & (cutout.weight > 0), cutout.data, 0.0).sum(axis=0)
        light = light[(cutout.weight > 0).any(axis=0)]
        peaks.append(light.max() / max(np.median(light), 1e-30) if len(light) else 0.0)
    return bool(min(peaks) > 2.0)


def table(rows: Sequence[Row]) -> str:
    """Return rows as Markdown, in thousandths of a pixel."""
    head = ["sources", "number", "along", "claimed", "across", "claimed"]
    lines = [head, ["---"] * len(head), *(each.cells() for each in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def template_figure(field: Field) -> Figure:
    """Draw two spectra in all exposures, each at its own phase of the pixels, and what their columns tell."""
    some = field.spectra[5:]
    figure = Figure(figsize=(9.2, 5.4), layout="constrained")
    axes = figure.subplots(3, 2, sharex="col", sharey="row", height_ratios=(1.3, 1, 1))
    for column, is_wanted in enumerate((True, False)):
        spectrum = next(each for each in some if has_line(each) is is_wanted)
        _draw_spectrum(axes[:, column], spectrum, field.offset)
        axes[0, column].set_title("with a line" if is_wanted else "without", loc="left", fontsize=10)
        axes[2, column].set_xlabel("from the source, along the dispersion [px]")
    for row, text in enumerate(("light [e/s/column]", "information along", "information across")):
        axes[row, 0].set_ylabel(text if row == 0 else f"{text}\n[1/px\u00b2/column]")
    axes[0, 1].legend(ncols=2, fontsize=8.5, markerscale=2)
    return figure


def _draw_spectrum(axes: NDArray[np.object_], spectrum: Spectrum, offset: NDArray[np.float64]) -> None:
    bend = np.full(spectrum.length + 6, 0.5 if has_line(spectrum) else 0.05)
    shifts = SpectralShifts(offset, np.zeros_like(offset), np.zeros(2))
    fit = fit_template(
        spectrum.cutouts, shifts, TemplatePrior(spectrum.first - 2.0, bend, _heights(spectrum))
    )
    for number, (cutout, residual) in enumerate(zip(spectrum.cutouts, fit.residuals, strict=True)):
        color = (_BLUE, _ORANGE, _GREEN, _INK)[number % 4]
        u, seen = cutout.along - offset[number, 0], cutout.data - residual
        near = np.abs(cutout.across) < _NEAR
        light = np.where(near & (cutout.weight > 0), cutout.data, np.where(near, seen, 0.0)).sum(axis=0)
        axes[0].plot(u, light, ".", ms=3, color=color, label=f"exposure {number + 1}")
        for row, axis in ((1, 1), (2, 0)):
            told = (cutout.weight * np.gradient(seen, axis=axis) ** 2).sum(axis=0)
            axes[row].semilogy(u, told, lw=0.9, color=color)
            axes[row].set_ylim(bottom=1e-2)


def _heights(spectrum: Spectrum) -> NDArray[np.float64]:
    peak = np.median([np.quantile(each.data[each.weight > 0], 0.95) for each in spectrum.cutouts])
    return np.asarray(peak * np.maximum(np.exp(-0.5 * (KNOTS_ACROSS / 1.2) ** 2), 0.02))


def errors_figure(magnitude: Sequence[Row], number: Sequence[Row]) -> Figure:
    """Draw errors of an exposure's offset by the magnitude of the sources, and by their number."""
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    for axes, rows, text in zip(
        figure.subplots(1, 2, sharey=True), (magnitude, number), ("magnitude", "sources used"), strict=True
    ):
        _draw_errors(axes, rows)
        axes.set_xlabel(text)
        axes.set_xticks(range(len(rows)), labels=[each.name.removesuffix(" brightest") for each in rows])
    axes.figure.axes[0].set_ylabel("error of an exposure [px]")
    axes.legend()
    return figure


def _draw_errors(axes: Axes, rows: Sequence[Row]) -> None:
    for axis, (color, name) in enumerate(((_BLUE, "along"), (_ORANGE, "across"))):
        axes.plot([each.error[axis] for each in rows], "o", color=color, label=f"{name} the dispersion")
        axes.plot([each.claimed[axis] for each in rows], "-", lw=1, color=color, label="claimed")
    axes.set_yscale("log")
    axes.grid(axis="y", color=_FAINT, lw=0.3)


def main() -> None:
    """Print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fields", type=int, default=4, help="fields that are measured")
    fields = [field_of(seed) for seed in range(1, parser.parse_args().fields + 1)]
    logging.disable(logging.WARNING)
    found = {"magnitude": by_magnitude(fields), "number": by_number(fields), "part": by_part(fields)}
    for name, rows in found.items():
        print(f"\nBy {name}: rms error and claim of an exposure, thousandths of a pixel\n\n{table(rows)}")
    with mpl.rc_context(_STYLE):
        figures = {
            "spectra_template": template_figure(fields[0]),
            "spectra_errors": errors_figure(found["magnitude"], found["number"]),
        }
        for name, figure in figures.items():
            figure.savefig(_FIGURES / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
