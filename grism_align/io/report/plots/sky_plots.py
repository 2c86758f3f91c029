"""Where the exposures and the stars of the catalog are on the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.report.formatting import count
from grism_align.io.report.plots.figures import CLIPPED, EAST, FAINT, GRISM, INK, NORTH
from grism_align.io.report.plots.residual_plots import Panel
from grism_align.values.solution import FitStatus
from grism_align.values.sphere import mean_direction
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from grism_align.io.report.contents import Contents, Entry
    from grism_align.io.report.plots.figures import Plotter


def sky_panel(contents: Contents, plotter: Plotter) -> Panel | None:
    """Outlines of the exposures with the catalog's stars; None without exposures."""
    outlines = [chip for entry in contents.entries for chip in entry.outlines]
    everything = np.concatenate([np.zeros((0, 2)), *outlines])
    if len(everything) == 0:
        return None
    plane = TangentPlane(*mean_direction(everything))
    with plotter.style():
        half = _half_sides(plane.to_plane(everything) / 60)
        height = float(np.clip(470 * half[1] / half[0], 260, 600))
        figure = plotter.figure(540, 100 + height)
        axes = plotter.axes(figure, (54, 90, 470, height))
        sources = np.array([(source.ra, source.dec) for source in contents.record.sources])
        if len(sources):
            xy = plane.to_plane(sources) / 60
            axes.plot(*_thinned(xy).T, ".", color=FAINT, ms=1.5, alpha=0.5, label="sources", zorder=1)
        _draw_outlines(axes, contents, plane)
        n_stars = _draw_reference(axes, contents, plane)
        axes.set(
            xlabel="east [arcmin]",
            ylabel="north [arcmin]",
            xlim=(half[0], -half[0]),
            ylim=(-half[1], half[1]),
        )
        axes.set_aspect("equal", adjustable="box")
        axes.spines[:].set_visible(True)
        _legend(axes)
        text = (
            f"{count(len(contents.entries), 'exposure')} on the sky about "
            f"RA {plane.ra:.5f}, Dec {plane.dec:.5f}, with {count(n_stars, 'reference star')}"
        )
        image = plotter.svg(figure, text)
    caption = f"Offsets from RA {plane.ra:.5f}°, Dec {plane.dec:+.5f}°; east is left."
    return Panel("Footprints", caption, image)


def _half_sides(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the width and height of the plot, arcmin."""
    return np.asarray(np.fmax(1.08 * np.abs(xy).max(axis=0), 0.5))


def _thinned(xy: NDArray[np.float64], most: int = 3000) -> NDArray[np.float64]:
    return xy[:: max(1, -(-len(xy) // most))]


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    first = dict(zip(labels, handles, strict=True))
    if first:
        axes.figure.legend(first.values(), first.keys(), loc="lower center", ncols=3, fontsize=10)


def _draw_outlines(axes: Axes, contents: Contents, plane: TangentPlane) -> None:
    """Draw the exposures' outlines."""
    many = len(contents.entries) > 24
    # grism outlines are broad and below, as they mostly coincide with a direct one
    for entry in sorted(contents.entries, key=lambda one: one.is_direct):
        color, line, label = _look(entry)
        width, alpha = (0.8, 0.5) if many else (1.3, 0.9)
        width, alpha = (width, alpha) if label != "grism" else (3 * width, 0.4 * alpha)
        for outline in entry.outlines:
            xy = plane.to_plane(np.vstack([outline, outline[:1]])) / 60
            axes.plot(*xy.T, ls=line, color=color, lw=width, alpha=alpha, label=label)


def _look(entry: Entry) -> tuple[str, str, str]:
    """Colour, line and name of an exposure's outline."""
    if entry.status is None:
        return INK, "--", "not fitted"
    if entry.status is FitStatus.FAILED:
        return CLIPPED, "-.", "FAILED"
    if entry.status is FitStatus.PRIOR_ONLY:
        return NORTH, ":", "PRIOR_ONLY"
    return (EAST, "-", "direct") if entry.is_direct else (GRISM, "-", "grism")


def _draw_reference(axes: Axes, contents: Contents, plane: TangentPlane) -> int:
    """Draw the catalog's stars, those used by a fit filled; how many there are."""
    catalog = contents.record.reference_catalog
    if catalog is None or catalog.n == 0:
        return 0
    stars = catalog.sources
    xy = plane.to_plane(np.column_stack([stars.ra, stars.dec])) / 60
    used = stars.n_fits > 0
    axes.plot(*xy[~used].T, "o", mfc="none", color=INK, ms=6, mew=0.9, label="reference, not used", zorder=4)
    axes.plot(*xy[used].T, "*", color=NORTH, mec=INK, mew=0.5, ms=10, label="reference, used", zorder=5)
    return len(xy)
