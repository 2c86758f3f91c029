"""Residual vectors and their distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.report.contents import Contents
from grism_align.io.report.formatting import UNKNOWN, count, fixed
from grism_align.io.report.plots.carried import LOOKS, classes_of, share_of
from grism_align.io.report.plots.figures import (
    CLIPPED,
    EAST,
    FAINT,
    INK,
    NORTH,
    Plot,
    dots,
    new_axes,
    new_figure,
    plain_title,
    style,
)
from grism_align.values.sphere import mean_direction
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from grism_align.io.report.contents import Entry, PlacedResiduals, Tie
    from grism_align.values.record import Record
    from grism_align.values.solution import ExposureFit


#: Beyond this many exposures they are summarised, and the worst are shown.
MOST_PANELS = 40
WORST_PANELS = 12
# Beyond this many exposures, their marks are dots, and visits are not parted.
_MANY = 400

_STYLES = ((EAST, "-", "east"), (NORTH, "--", "north"))


@dataclass(frozen=True, eq=False)
class _Vectors:
    """Residuals (N, 2) in mas at places (N, 2) in arcsec from the middle, and what each carries (N,)."""

    place: NDArray[np.float64]
    offset: NDArray[np.float64]
    share: NDArray[np.float64]

    @property
    def used(self) -> NDArray[np.bool_]:
        return self.share > 0


def _vectors(residuals: PlacedResiduals) -> _Vectors:
    sky = residuals.sky
    known = np.isfinite(sky).all(axis=1)
    place = np.full(sky.shape, np.nan)
    if known.any():
        place[known] = TangentPlane(*mean_direction(sky[known])).to_plane(sky[known])
    return _Vectors(place, residuals.matches.offset, share_of(residuals.matches))


def _matched(contents: Contents) -> list[tuple[Entry, PlacedResiduals]]:
    """Return the direct exposures that match others, with the residuals."""
    found = [(entry, contents.relative_residuals(entry)) for entry in contents.direct]
    return [(entry, residuals) for entry, residuals in found if residuals]


def relative_panels(contents: Contents) -> list[Plot]:
    """Residuals of each direct exposure against the sources' common positions, or of the worst of many."""
    found = _matched(contents)
    if len(found) > MOST_PANELS:
        found = sorted(found, key=lambda one: -one[1].fit.rms)[:WORST_PANELS]
    many = [_vectors(residuals) for _, residuals in found]
    limit = _limit(many)
    return [
        _vector_plot(entry.key, _caption(residuals.fit, vectors), vectors, limit)
        for (entry, residuals), vectors in zip(found, many, strict=True)
    ]


def vectors_of(record: Record, key: str, step: str) -> Plot | None:
    """Return the residual vectors of one exposure; None where it has no residuals.

    Parameters
    ----------
    record : Record
        What was done.
    key : str
        Root name.
    step : str
        ``relative`` or ``absolute``.
    """
    contents = Contents(record)
    entry = next(entry for entry in contents.entries if entry.key == key)
    found = contents.relative_residuals(entry) if step == "relative" else contents.absolute_residuals(entry)
    if found is None:
        return None
    vectors = _vectors(found)
    return _vector_plot(key, _caption(found.fit, vectors), vectors, _limit([vectors]))


def absolute_panels(contents: Contents) -> list[Plot]:
    """Residuals against the reference catalog: of all exposures of a tie in the mean, and each set once."""
    found: dict[bytes, tuple[list[Entry], PlacedResiduals]] = {}
    for entry in contents.direct:
        residuals = contents.absolute_residuals(entry)
        if residuals:
            content = residuals.matches.offset.tobytes() + residuals.matches.weight.tobytes()
            found.setdefault(content, ([], residuals))[0].append(entry)
    groups = list(found.values())
    if len(groups) > MOST_PANELS:
        groups = sorted(groups, key=lambda group: -group[1].fit.rms)[:WORST_PANELS]
    many = [_vectors(residuals) for _, residuals in groups]
    limit = _limit(many)
    alone = {entries[0].key for entries, _ in found.values() if len(entries) == 1}
    panels = [
        _mean_plot(contents, tie, limit)
        for tie in contents.ties
        if tie.n_exposures > 1 and alone & set(tie.keys)
    ]
    for (entries, residuals), vectors in zip(groups, many, strict=True):
        title = entries[0].key if len(entries) == 1 else f"{count(len(entries), 'exposure')} together"
        panels.append(_vector_plot(title, _caption(residuals.fit, vectors), vectors, limit))
    return panels


def _mean_plot(contents: Contents, tie: Tie, limit: float) -> Plot:
    """Return the weighted mean residual of each star over the exposures of a tie."""
    keys = set(tie.keys)
    entries = [e for e in contents.direct if e.key in keys]
    found = [residuals for e in entries if (residuals := contents.absolute_residuals(e))]
    sky = np.concatenate([one.sky for one in found])
    names = np.concatenate([one.matches.matched.astype(str) for one in found])
    offset = np.concatenate([one.matches.offset for one in found])
    weight = np.concatenate([share_of(one.matches) for one in found])
    star = np.unique(names, return_inverse=True)[1]
    total = np.bincount(star, weight).astype(float)
    # of those that were clipped wherever they were seen, the plain mean
    share = np.where(total[star] > 0, weight, 1.0)
    share /= np.bincount(star, share)[star]

    def mean(columns: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([np.bincount(star, share * column) for column in columns.T]).astype(float)

    place = np.full((len(total), 2), np.nan)
    if np.isfinite(sky).all():
        place = mean(TangentPlane(*mean_direction(sky)).to_plane(sky))
    title = f"{count(len(entries), 'exposure')} together"
    caption = (
        f"{tie.n_used} of {tie.n_matched} stars used; rms {fixed(tie.rms)} mas. "
        "Shown is the mean of each star over the exposures."
    )
    return _vector_plot(title, caption, _Vectors(place, mean(offset), total), limit)


def _limit(many: Sequence[_Vectors]) -> float:
    """Half the range of the axes, mas: what nearly all used residuals are within."""
    used = [np.abs(one.offset[one.used]).ravel() for one in many if one.used.any()]
    if not used:
        return 1.0
    return round_up(1.5 * float(np.quantile(np.concatenate(used), 0.9)))


def round_up(value: float) -> float:
    """Round up to the next of 1, 2, 3, 5, 10..."""
    if not value > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * next(step for step in (1, 2, 3, 5, 10) if step * power >= value * 0.999))


def _caption(fit: ExposureFit, vectors: _Vectors) -> str:
    east, north = (fixed(axis) for axis in fit.rms_axes)
    axes = f" (E {east}, N {north})" if east != UNKNOWN else ""
    return f"{int(vectors.used.sum())} of {len(vectors.share)} used; rms {fixed(fit.rms)} mas{axes}"


def _vector_plot(title: str, caption: str, vectors: _Vectors, limit: float) -> Plot:
    """Return a map of residual vectors beside their components."""
    with style():
        figure = new_figure(340, 186)
        _draw_map(new_axes(figure, (2, 30, 144, 144)), vectors, limit)
        draw_components(new_axes(figure, (196, 40, 128, 128)), vectors.offset, vectors.share, limit)
    used = vectors.offset[vectors.used]
    spread = ", ".join(f"{value:.1f}" for value in used.std(axis=0)) if len(used) else "unknown"
    text = f"Residuals of {title}: {len(used)} vectors on the sky, scatter east and north {spread} mas"
    return Plot("residuals_of", title, caption, figure, text)


def _draw_map(axes: Axes, vectors: _Vectors, limit: float) -> None:
    half = float(np.nanmax(np.abs(vectors.place), initial=10.0) * 1.12)
    length = 0.28 * half / limit
    options: dict[str, Any] = {
        "angles": "xy",
        "scale_units": "xy",
        "scale": 1.0,
        "headwidth": 4,
        "minlength": 0.3,
    }
    found = classes_of(vectors.share)
    clipped = (CLIPPED, 0.9, 0.006)
    heavy = [(INK, alpha, 0.0016 * size) for alpha, size in LOOKS]
    for name, (color, alpha, width) in enumerate([clipped, *heavy], start=-1):
        rows = found == name
        if rows.any():
            axes.quiver(
                *vectors.place[rows].T,
                *(length * vectors.offset[rows].T),
                color=color, alpha=alpha, width=width, zorder=3 - name, **options,
            )  # fmt: skip
    axes.plot([half, half - length * limit], [-1.13 * half] * 2, color=EAST, lw=2, clip_on=False)
    axes.text(
        half - length * limit * 1.15, -1.13 * half, f"{limit:g} mas", va="center", color=INK, fontsize=9
    )
    axes.set(xlim=(half, -half), ylim=(-half, half), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.text(0.03, 0.97, "N up, E left", transform=axes.transAxes, va="top", fontsize=8, color=FAINT)


def draw_components(
    axes: Axes, offset: NDArray[np.float64], share: NDArray[np.float64], limit: float
) -> None:
    """Draw residuals north against east, the heavy ones darkest; those beyond the axes lie at their ends.

    Parameters
    ----------
    axes : Axes
        Empty.
    offset : (N, 2) ndarray, mas
        East and north.
    share : (N,) ndarray
        What each carries; 0 where it was clipped.
    limit : float, mas
        Where the axes end.
    """
    axes.set(xlim=(limit, -limit), ylim=(-limit, limit), aspect="equal")
    axes.set(xlabel="east [mas]", xticks=[-limit, 0, limit], yticks=[-limit, 0, limit])
    axes.set_ylabel("north [mas]", labelpad=-8)
    axes.axhline(0, color=FAINT, lw=0.6, zorder=0)
    axes.axvline(0, color=FAINT, lw=0.6, zorder=0)
    found, beyond = classes_of(share), (np.abs(offset) > limit).any(axis=1)
    for name in (2, 1, 0):
        dots(axes, offset[(found == name) & ~beyond], INK, LOOKS[name][1], LOOKS[name][0])
    dots(axes, offset[(found < 0) & ~beyond], CLIPPED, 3.5)
    if beyond.any():
        for rows, color in ((beyond & (found >= 0), INK), (beyond & (found < 0), CLIPPED)):
            axes.plot(*_at_the_edge(offset[rows], limit).T, "+", color=color, ms=5, mew=0.9, clip_on=False)
        axes.text(
            1.0,
            1.02,
            f"+ {int(beyond.sum())} beyond",
            transform=axes.transAxes,
            ha="right",
            fontsize=8,
            color=FAINT,
        )


def _at_the_edge(offset: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Shorten vectors, as they point, to where the axes end."""
    longest = np.abs(offset).max(axis=1, initial=limit, keepdims=True)
    return np.asarray(offset * limit / longest)


def relative_summary(contents: Contents) -> list[Plot]:
    """Return the scatter of every exposure's residuals, and the mean residual over the field."""
    found = _matched(contents)
    if len(found) < 2:
        return []
    return [_scatter_plot(found), *_field_plot([one for _, one in found])]


def _scatter_plot(found: Sequence[tuple[Entry, PlacedResiduals]]) -> Plot:
    from matplotlib.ticker import MaxNLocator

    entries = [entry for entry, _ in found]
    with style():
        figure = new_figure(430, 240)
        axes = new_axes(figure, (46, 40, 374, 190))
        number = np.arange(1, len(entries) + 1)
        rms = np.array([residuals.fit.rms_axes for _, residuals in found])
        size = 5.0 if len(entries) <= MOST_PANELS else 3.5
        is_many = len(entries) > _MANY
        axes.set_ylim(0, 1.25 * float(np.nanmax(rms, initial=1.0)))
        if is_many:
            axes.set_xlim(0, len(entries) + 1)
        for axis, (color, _, name) in enumerate(_STYLES):
            shown = slice(0, 0) if is_many else slice(None)
            axes.plot(number[shown], rms[shown, axis], "os"[axis], color=color, ms=size, label=name)
            if is_many:
                dots(axes, np.column_stack([number, rms[:, axis]]), color, 2.0, 0.6)
        if not is_many:
            _mark_visits(axes, entries)
        axes.set(xlabel="direct exposure, in time order", ylabel="rms of one axis [mas]")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper left", ncols=2)
        worst = entries[int(np.nanargmax(rms.sum(axis=1)))] if np.isfinite(rms).any() else entries[0]
    text = f"rms of the residuals of {len(entries)} direct exposures, east and north; largest {worst.key}"
    caption = f"{'' if is_many else 'Lines part visits. '}Largest: {worst.key}."
    return Plot("scatter", "Scatter, exposure by exposure", caption, figure, text)


def _mark_visits(axes: Axes, entries: Sequence[Entry]) -> None:
    visits = [entry.record.visit for entry in entries]
    for at in range(1, len(visits)):
        if visits[at] != visits[at - 1]:
            axes.axvline(at + 0.5, color=FAINT, lw=0.5, alpha=0.6)


def _field_plot(residuals: Sequence[PlacedResiduals]) -> list[Plot]:
    """Mean residuals in cells of the exposures' own field: what exposures have in common shows here."""
    found = list(map(_vectors, residuals))
    place = np.concatenate([one.place for one in found])
    offset = np.concatenate([one.offset for one in found])
    used = np.concatenate([one.used for one in found]) & np.isfinite(place).all(axis=1)
    if used.sum() < 50:
        return []
    middle, mean, error = _cell_means(place[used], offset[used])
    if len(mean) < 4:
        return []
    scale = round_up(float(np.quantile(np.hypot(*mean.T), 0.9)))
    with style():
        figure = new_figure(290, 270)
        axes = new_axes(figure, (52, 40, 206, 206))
        half = float(np.abs(middle).max() * 1.2)
        length = float(np.diff(np.unique(middle)).max()) / scale
        options: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1.0}
        axes.quiver(*middle.T, *(length * mean.T), color=INK, width=0.006, pivot="mid", **options)
        axes.set(
            xlim=(half, -half), ylim=(-half, half), aspect="equal", xlabel="east [″]", ylabel="north [″]"
        )
        plain_title(axes, f"cell = {scale:g} mas")
    text = f"Mean residuals of all exposures in {len(mean)} cells, error {error:.1f} mas"
    caption = (
        "Residuals averaged in cells about each exposure's middle, north up; usual error of a mean "
        f"{error:.1f} mas; an arrow as long as a cell is {scale:g} mas. A pattern is distortion."
    )
    return [Plot("field", "Mean over all exposures", caption, figure, text)]


def _cell_means(
    place: NDArray[np.float64], offset: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Middles and means (K, 2) of the cells with enough residuals, and the median error of a mean."""
    half = float(np.quantile(np.abs(place), 0.98))
    cell = np.clip(((place / half + 1) / 2 * 8).astype(int), 0, 7) @ np.array([8, 1])
    names, n = np.unique(cell, return_counts=True)
    names = names[n >= max(8, 0.4 * np.median(n))]
    if len(names) == 0:
        return np.zeros((0, 2)), np.zeros((0, 2)), float("nan")
    rows = [np.flatnonzero(cell == name) for name in names]
    mean = np.array([np.median(offset[row], axis=0) for row in rows])
    middle = np.array([(name // 8, name % 8) for name in names]) * half / 4 + half / 8 - half
    error = np.median([1.25 * offset[row].std() / np.sqrt(len(row)) for row in rows])
    return middle, mean, float(error)
