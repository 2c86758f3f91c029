"""Make the figures of the page on the theory: ``python docs/theory_figures.py``.

It writes ``docs/figures/theory_*.png``. But for the sketch of the planes, what they show is computed: by the
package's transforms, and by the covariances of least-squares solutions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from grism_align.values.settings import PointingSettings
from grism_align.values.transform import LinearTransform, TangentPlane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_FIGURES = Path(__file__).parent / "figures"
# As in the report; the colour-blind can tell them apart.
_INK, _FAINT, _BLUE, _ORANGE, _GREEN = "#1b1f24", "#8a929c", "#0068a8", "#c56500", "#007d5c"
_STYLE = {
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _FAINT,
    "legend.frameon": False,
    "svg.hashsalt": "grism_align",
}

# A direct exposure's correction, and where the tangent point of its grism exposure lies from its own.
_PLANE = TangentPlane(53.0, -27.8)
_SHIFT, _ROLL, _APART = np.array([0.06, -0.02]), 0.01, np.array([88.0, 50.0])


def planes() -> Figure:
    """Tangent planes in section, and one correction as two exposures see it."""
    figure = Figure(figsize=(9.2, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _draw_section(left)
    _draw_correction(right)
    return figure


def _draw_section(axes: Axes) -> None:
    angle = np.radians(np.linspace(52, 128, 100))
    axes.plot(np.cos(angle), np.sin(angle), color=_INK, lw=1.4)
    star = np.radians(92.0)
    for degrees, color, name in ((108, _BLUE, "direct"), (72, _GREEN, "grism")):
        at = np.radians(degrees)
        point, along = np.array([np.cos(at), np.sin(at)]), np.array([-np.sin(at), np.cos(at)])
        ends = np.array([point - 0.48 * along, point + 0.48 * along])
        axes.plot(*ends.T, color=color, lw=1.8)
        axes.plot(*point, "o", color=color, ms=5)
        axes.text(
            *(ends[1 if degrees > 90 else 0] - (0, 0.06)), f"plane of the\n{name} exposure", color=color,
            ha="center", va="top",
        )  # fmt: skip
        place = np.array([np.cos(star), np.sin(star)]) / np.cos(at - star)
        axes.plot(*np.array([[0, 0.0], place]).T, color=_FAINT, lw=0.9, ls="--", zorder=0)
        axes.plot(*place, "*", color=color, ms=11, mec=_INK, mew=0.5, zorder=4)
    axes.text(0, 1.17, "one star, with a place in each plane", ha="center", color=_INK)
    axes.text(0.04, 0.72, "line of sight", color=_FAINT)
    axes.text(0, 0.9, "celestial sphere", ha="center", color=_INK)
    axes.set(aspect="equal", xlim=(-1.0, 1.0), ylim=(0.5, 1.25), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _draw_correction(axes: Axes) -> None:
    """Draw the correction everywhere, and the two short cuts at the grism exposure."""
    correction = LinearTransform.from_parameters(_PLANE, _SHIFT, _ROLL)
    side = np.linspace(-45, 150, 7)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    options = {"angles": "xy", "scale_units": "xy", "scale": 1.0, "zorder": 3}
    scale = 400.0  # arcsec of the drawing to one of the correction
    axes.quiver(*grid.T, *(scale * (correction.apply(grid) - grid)).T, color=_FAINT, width=0.003, **options)
    moves = {
        "the correction as it is there": correction.apply(_APART) - _APART,
        "as it is at the direct exposure": correction.apply(np.zeros(2)),
    }
    axes.quiver(
        0, 0, *(scale * moves["as it is at the direct exposure"]), color=_BLUE, width=0.008, **options
    )
    for (name, move), color in zip(moves.items(), (_GREEN, _ORANGE), strict=True):
        axes.quiver(*_APART, *(scale * move), color=color, width=0.008, label=name, **options)
    for place, color, name in ((np.zeros(2), _BLUE, "direct"), (_APART, _GREEN, "grism")):
        axes.plot(*place, "o", color=color, ms=5, zorder=4)
        axes.annotate(f"CRVAL, {name}", place, (6, 5), textcoords="offset points", color=color)
    wrong = 1e3 * np.hypot(*(np.subtract(*moves.values())))
    axes.set_title(f"At the grism exposure they are {wrong:.1f} mas apart", fontsize=10, loc="left")
    axes.set(aspect="equal", xlim=(165, -75), ylim=(-110, 145), xlabel="east [″]", ylabel="north [″]")
    axes.legend(loc="lower left", fontsize=9)


def network() -> Figure:
    """How errors grow along a strip of exposures, aligned one to the next and all together."""
    rng, n_exposures, step, error = np.random.default_rng(4), 9, 0.35, 10.0
    source = rng.uniform(0, step * (n_exposures - 1) + 1, 420)
    left = step * np.arange(n_exposures)
    seen = (source >= left[:, None]) & (source < left[:, None] + 1)
    figure = Figure(figsize=(9.2, 3.3), layout="constrained")
    strip, growth = figure.subplots(1, 2)
    _draw_strip(strip, left, source[seen.sum(axis=0) > 1], rng)
    together = _joint_errors(seen, error)
    pairs = np.array([1 / np.sqrt((seen[k] & seen[k + 1]).sum()) for k in range(n_exposures - 1)])
    chain = np.sqrt(2) * error * np.sqrt(np.concatenate([[0.0], np.cumsum(pairs**2)]))
    number = np.arange(1, n_exposures + 1)
    growth.plot(number, chain, "s--", color=_ORANGE, label="each to the one before")
    growth.plot(number, together, "o-", color=_BLUE, label="all together")
    growth.set(xlabel="exposure", ylabel="error against the first [mas]", ylim=(0, None), xticks=number)
    growth.legend(loc="upper left")
    return figure


def _draw_strip(
    axes: Axes, left: NDArray[np.float64], shared: NDArray[np.float64], rng: np.random.Generator
) -> None:
    for number, edge in enumerate(left):
        low = 0.05 * (number % 3)
        box = np.array([[edge, low], [edge + 1, low], [edge + 1, low + 0.9], [edge, low + 0.9], [edge, low]])
        axes.plot(*box.T, color=(_BLUE, _GREEN, _ORANGE)[number % 3], lw=1.3)
        axes.text(edge + 0.06, low + 0.95, str(number + 1), color=(_BLUE, _GREEN, _ORANGE)[number % 3])
    axes.plot(shared, rng.uniform(0.1, 0.88, len(shared)), ".", color=_FAINT, ms=3)
    axes.set(aspect="equal", xticks=[], yticks=[])
    axes.text(0, -0.25, "Exposures of a strip and the sources they share")
    axes.spines[:].set_visible(False)


def _joint_errors(seen: NDArray[np.bool_], error: float) -> NDArray[np.float64]:
    """Errors (E,) of the shifts of one axis against the first exposure, sources (E, K) eliminated."""
    weight = seen / error**2
    of_source = weight.sum(axis=0)
    shared = of_source > 0
    # N = A^T W A - A^T W S (S^T W S)^-1 S^T W A
    normal = np.diag(weight.sum(axis=1)) - (weight[:, shared] / of_source[shared]) @ weight[:, shared].T
    covariance = np.zeros_like(normal)
    covariance[1:, 1:] = np.linalg.inv(normal[1:, 1:])
    return np.sqrt(np.diag(covariance))


def priors() -> Figure:
    """Draw what the pointing adds to few sources, and how it yields where it is wrong."""
    dither, error = 1e3 * PointingSettings().dither_error, 15.0
    figure = Figure(figsize=(9.2, 3.3), layout="constrained")
    few, pull = figure.subplots(1, 2)
    n = np.geomspace(0.25, 400, 200)
    few.loglog(n, error / np.sqrt(n), "--", color=_ORANGE, label=f"sources good to {error:g} mas each")
    few.axhline(dither, color=_GREEN, ls=":", label=f"the pointing alone, {dither:g} mas")
    few.loglog(n, (n / error**2 + dither**-2) ** -0.5, color=_BLUE, lw=2, label="both")
    few.set(xlabel="matched sources", ylabel="error of the shift, one axis [mas]", ylim=(0.5, 60))
    few.legend(loc="lower left", fontsize=9)
    wrong = np.linspace(0, 8, 200)
    for count, line in ((2, "-"), (8, "--"), (40, ":")):
        pull.plot(
            wrong,
            _pulled(wrong, count * (dither / error) ** 2),
            ls=line,
            color=_BLUE,
            label=f"{count} sources",
        )
    pull.plot(
        wrong, wrong / (1 + (dither / error) ** 2 * 2), color=_FAINT, lw=1, label="2, were it not to yield"
    )
    pull.set(
        xlabel="the pointing is wrong by [its standard deviations]", ylabel="it pulls the shift by [the same]"
    )
    pull.set_ylim(0, 2.2)
    pull.legend(loc="upper left", fontsize=9)
    return figure


def _pulled(wrong: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Where sources of a weight and a prior that yields settle, in its standard deviations."""
    found = np.zeros_like(wrong)
    for _ in range(200):
        prior = 1 / (1 + ((wrong - found) / 3) ** 2)
        found = 0.5 * (found + prior * wrong / (prior + weight))
    return found


def main() -> None:
    """Write the figures."""
    with mpl.rc_context(_STYLE):
        for draw in (planes, network, priors):
            path = _FIGURES / f"theory_{draw.__name__}.png"
            draw().savefig(path, dpi=110, metadata={"Software": None})
            print(path)


if __name__ == "__main__":
    main()
