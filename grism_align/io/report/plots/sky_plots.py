"""Where the exposures and the stars of the catalog are on the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.report.formatting import count
from grism_align.io.report.plots.figures import (
    CLIPPED,
    EAST,
    FAINT,
    GRISM,
    INK,
    NORTH,
    PAGE,
    Plot,
    new_axes,
    new_figure,
    style,
)
from grism_align.values.solution import FitStatus
from grism_align.values.sphere import mean_direction
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from grism_align.io.report.contents import Contents, Entry

# With more visits, names would hide what they name.
_MOST_NAMES = 12
# The outlines of more exposures are one curve, from corner to corner; and so many stars are shown.
_MANY = 400
_CORNERS = [0, 2, 4, 6, 0]
_MOST_STARS = 2000


def sky_plot(contents: Contents) -> Plot | None:
    """Outlines of the exposures with the catalog's stars; None without exposures."""
    outlines = [chip for entry in contents.entries for chip in entry.outlines]
    everything = np.concatenate([np.zeros((0, 2)), *outlines])
    if len(everything) == 0:
        return None
    plane = TangentPlane(*mean_direction(everything))
    with style():
        half = _half_sides(plane.to_plane(everything) / 60)
        height = float(np.clip(470 * half[1] / half[0], 260, 600))
        figure = new_figure(540, 100 + height)
        axes = new_axes(figure, (54, 90, 470, height))
        sources = np.array([(source.ra, source.dec) for source in contents.record.sources])
        if len(sources):
            xy = plane.to_plane(sources) / 60
            axes.plot(*_thinned(xy).T, ".", color=FAINT, ms=1.5, alpha=0.5, label="sources", zorder=1)
        _draw_outlines(axes, contents, plane)
        _name_visits(axes, contents, plane)
        n_stars = _draw_reference(axes, contents, plane)
        axes.set(
            xlabel="east [arcmin]",
            ylabel="north [arcmin]",
            xlim=(half[0], -half[0]),
            ylim=(-half[1], half[1]),
        )
        axes.set_aspect("equal", adjustable="box")
        axes.spines[:].set_visible(True)
        _draw_compass(axes)
        _legend(axes)
        text = (
            f"{count(len(contents.entries), 'exposure')} on the sky about "
            f"RA {plane.ra:.5f}, Dec {plane.dec:.5f}, with {count(n_stars, 'reference star')}"
        )
    caption = f"Offsets from RA {plane.ra:.5f}°, Dec {plane.dec:+.5f}°; north is up, east is left."
    return Plot("sky", "Footprints", caption, figure, text)


def _half_sides(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the width and height of the plot, arcmin."""
    return np.asarray(np.fmax(1.15 * np.abs(xy).max(axis=0), 0.5))


def _thinned(xy: NDArray[np.float64], most: int = 3000) -> NDArray[np.float64]:
    return xy[:: max(1, -(-len(xy) // most))]


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    first = dict(zip(labels, handles, strict=True))
    if first:
        legend = axes.figure.legend(first.values(), first.keys(), loc="lower center", ncols=3, fontsize=10)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _draw_outlines(axes: Axes, contents: Contents, plane: TangentPlane) -> None:
    """Draw the exposures' outlines."""
    if len(contents.entries) > _MANY:
        _draw_many(axes, contents, plane)
        return
    many = len(contents.entries) > 24
    # grism outlines are broad and below, as they mostly coincide with a direct one
    for entry in sorted(contents.entries, key=lambda one: one.is_direct):
        color, line, label = _look(entry)
        width, alpha = (0.8, 0.5) if many else (1.3, 0.9)
        width, alpha = (width, alpha) if label != "grism" else (3 * width, 0.4 * alpha)
        for outline in entry.outlines:
            xy = plane.to_plane(np.vstack([outline, outline[:1]])) / 60
            axes.plot(*xy.T, ls=line, color=color, lw=width, alpha=alpha, label=label)


def _draw_many(axes: Axes, contents: Contents, plane: TangentPlane) -> None:
    """Draw the outlines of many exposures, of each kind as one curve, those with problems last."""
    found: dict[tuple[str, str, str], list[NDArray[np.float64]]] = {}
    for entry in contents.entries:
        found.setdefault(_look(entry), []).extend(outline[_CORNERS] for outline in entry.outlines)
    usual = {"grism": 0, "direct": 1}
    for (color, line, label), outlines in sorted(found.items(), key=lambda one: usual.get(one[0][2], 2)):
        xy = plane.to_plane(np.concatenate(outlines)).reshape(-1, len(_CORNERS), 2) / 60
        # a gap after each
        curve = np.concatenate([xy, np.full((len(xy), 1, 2), np.nan)], axis=1).reshape(-1, 2)
        width, alpha = (0.5, 0.4) if label in usual else (1.0, 0.9)
        axes.plot(*curve.T, ls=line, color=color, label=label, lw=width, alpha=alpha)


def _name_visits(axes: Axes, contents: Contents, plane: TangentPlane) -> None:
    """Write each visit's name, where there are not too many, at the outermost corner of its exposures."""
    if not 1 < len(contents.visits) <= _MOST_NAMES:
        return
    taken: list[NDArray[np.float64]] = []
    for visit, entries in contents.visits.items():
        chips = [chip for entry in entries for chip in entry.outlines]
        if not chips:
            continue
        xy = plane.to_plane(np.concatenate(chips)) / 60
        # as far as can be from the names that are there, and from the middle
        others = np.array([*taken, [0.0, 0.0]])
        free = np.linalg.norm(xy[:, None] - others, axis=2).min(axis=1)
        corner = xy[int(free.argmax())]
        taken.append(corner)
        axes.annotate(
            visit,
            corner,
            xytext=(0, 5 if corner[1] > 0 else -5),
            textcoords="offset points",
            ha="left" if corner[0] > 0 else "right",
            va="bottom" if corner[1] > 0 else "top",
            fontsize=10,
            fontweight="bold",
            color=INK,
            parse_math=False,
            bbox={"fc": PAGE, "ec": "none", "alpha": 0.8, "pad": 1},
            zorder=6,
        )


def _draw_compass(axes: Axes) -> None:
    """Draw arrows to the north and to the east into a corner."""
    options = {"arrowstyle": "-|>", "color": FAINT, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
    for (x, y), name, (ha, va) in (
        ((0, 26), "N", ("center", "bottom")),
        ((-26, 0), "E", ("right", "center")),
    ):
        axes.annotate(
            name,
            (0.965, 0.03),
            xytext=(x, y),
            xycoords="axes fraction",
            textcoords="offset points",
            arrowprops={**options, "arrowstyle": "<|-"},
            ha=ha,
            va=va,
            fontsize=10,
            color=INK,
        )


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
    unused, fitted = f"{catalog.name}, not used", f"{catalog.name}, used"
    unfitted, taken = (_thinned(xy[rows], _MOST_STARS) for rows in (~used, used))
    axes.plot(*unfitted.T, "o", mfc="none", color=INK, ms=6, mew=0.9, label=unused, zorder=4)
    axes.plot(*taken.T, "*", color=NORTH, mec=INK, mew=0.5, ms=10, label=fitted, zorder=5)
    return len(xy)
