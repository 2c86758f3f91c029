"""The usual programs: pairs of a direct and a grism exposure, and others, in one or two visits."""

from __future__ import annotations

import numpy as np

from grism_align.simulation.instruments import INSTRUMENTS
from grism_align.simulation.plan import (
    PointingErrors,
    SceneSettings,
    SimulatedExposure,
    SimulatedVisit,
    Simulation,
)

# Filter and grism of the first and the second visit
_ELEMENTS = {
    "wfc3_ir": (("F140W", "G141"), ("F105W", "G102")),
    "wfc3_uvis": (("F606W", "G280"), ("F814W", "G280")),
    "acs_wfc": (("F814W", "G800L"), ("F606W", "G800L")),
}
_TIMES = {"wfc3_ir": (250.0, 1100.0), "wfc3_uvis": (350.0, 900.0), "acs_wfc": (350.0, 900.0)}

# A box of sub-pixel dithers, and dithers of several arcsec
_BOX = ((0.0, 0.0), (1.355, 0.424), (0.881, 1.212), (-0.474, 0.788))
_WIDE = ((0.0, 0.0), (8.1, 2.3), (5.2, -6.4), (-3.1, 5.7))

_SMALL = ((0.0, 0.0), (0.5, 0.3), (1.0, 0.6), (1.5, 0.9))

_ANGLES = (35.0, 52.0)
_STARTS = (57000.3, 57061.7)


def usual_scene(instrument: str, size: int | tuple[int, int] | None = None) -> SceneSettings:
    """Return sources for a field of an instrument: enough stars even on a small cut.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    size : int or (ny, nx), optional
        Pixels of a cut.
    """
    camera = INSTRUMENTS[instrument]
    ny, nx = camera.shape if size is None else np.broadcast_to(size, 2)
    area = len(camera.direct) * int(ny) * int(nx) * (camera.pixel / 60) ** 2
    # up to a limit: what lies around a small cut counts too, because a grism disperses it in
    return SceneSettings(
        star_density=float(np.clip(40.0 / area, 10.0, 200.0)),
        galaxy_density=float(np.clip(60.0 / area, 90.0, 300.0)),
    )


def _pairs(
    instrument: str, elements: tuple[str, str], n_pairs: int, dithers: tuple[tuple[float, float], ...]
) -> tuple[SimulatedExposure, ...]:
    """Return a direct and a grism exposure at each dither."""
    return tuple(
        SimulatedExposure(element, time, dithers[number % len(dithers)])
        for number in range(n_pairs)
        for element, time in zip(elements, _TIMES[instrument], strict=True)
    )


def _simulation(
    instrument: str,
    size: int | tuple[int, int] | None,
    exposures: tuple[tuple[SimulatedExposure, ...], ...],
    errors: PointingErrors | None,
    scene: SceneSettings | None,
) -> Simulation:
    """Return a field seen by visits of other angles and, by a tenth of the chip's width, other pointings."""
    camera = INSTRUMENTS[instrument]
    width = float((camera.shape if size is None else np.broadcast_to(size, 2))[1]) * camera.pixel
    visits = tuple(
        SimulatedVisit(
            f"{number + 1:02d}",
            visit_exposures,
            angle=_ANGLES[number % 2],
            offset=(0.12 * width * (number % 2), -0.07 * width * (number % 2)),
            start=_STARTS[number % 2] + 120.0 * (number // 2),
        )
        for number, visit_exposures in enumerate(exposures)
    )
    return Simulation(
        instrument,
        visits,
        size=size,
        scene=scene or usual_scene(instrument, size),
        errors=errors or PointingErrors(),
    )


def case_a(
    instrument: str = "wfc3_ir",
    size: int | tuple[int, int] | None = None,
    n_pairs: int = 2,
    n_visits: int = 2,
    errors: PointingErrors | None = None,
    scene: SceneSettings | None = None,
) -> Simulation:
    """Plan visits with one filter and one grism, a direct exposure before each grism exposure.

    Parameters
    ----------
    instrument : str
        ``wfc3_ir``, ``wfc3_uvis`` or ``acs_wfc``.
    size : int or (ny, nx), optional
        Pixels of a cut; None for whole chips.
    n_pairs : int
        Pairs in a visit.
    n_visits : int
        Visits.
    errors : PointingErrors, optional
        How wrong the pointings are.
    scene : SceneSettings, optional
        Sources; `usual_scene` when None.
    """
    pairs = _pairs(instrument, _ELEMENTS[instrument][0], n_pairs, _BOX)
    return _simulation(instrument, size, (pairs,) * n_visits, errors, scene)


def case_b(
    instrument: str = "wfc3_ir",
    size: int | tuple[int, int] | None = None,
    n_pairs: int = 2,
    errors: PointingErrors | None = None,
    scene: SceneSettings | None = None,
) -> Simulation:
    """Plan two visits in other filters and grisms, as F140W + G141 and F105W + G102; see `case_a`."""
    exposures = tuple(_pairs(instrument, pair, n_pairs, _BOX) for pair in _ELEMENTS[instrument])
    return _simulation(instrument, size, exposures, errors, scene)


def case_c(
    instrument: str = "wfc3_ir",
    size: int | tuple[int, int] | None = None,
    errors: PointingErrors | None = None,
    scene: SceneSettings | None = None,
) -> Simulation:
    """Plan fewer direct than grism exposures, which are dithered by several arcsec; see `case_a`.

    The first visit has one direct exposure for four grism exposures, the second has two.
    """
    direct, grism = _ELEMENTS[instrument][0]
    direct_time, grism_time = _TIMES[instrument]
    grisms = [SimulatedExposure(grism, grism_time, dither) for dither in _WIDE]
    first, second = (SimulatedExposure(direct, direct_time, dither) for dither in (_WIDE[0], _WIDE[2]))
    exposures = ((first, *grisms), (first, *grisms[:2], second, *grisms[2:]))
    return _simulation(instrument, size, exposures, errors, scene)


def interleaved(
    instrument: str = "wfc3_ir",
    size: int | tuple[int, int] | None = None,
    n_grisms: int = 2,
    errors: PointingErrors | None = None,
    scene: SceneSettings | None = None,
) -> Simulation:
    """Plan direct and grism exposures in turns at one pointing, which drifts; see `case_a`.

    Each of two visits begins and ends with a direct exposure; with two grism exposures it fills an orbit.

    Parameters
    ----------
    instrument, size, scene
        As for `case_a`.
    n_grisms : int
        Grism exposures in a visit.
    errors : PointingErrors, optional
        How wrong the pointings are; by default those of the other cases and a drift of 0.2 pixel/hour.
    """
    direct, grism = (
        SimulatedExposure(element, time)
        for element, time in zip(_ELEMENTS[instrument][0], _TIMES[instrument], strict=True)
    )
    exposures = (direct, *(exposure for _ in range(n_grisms) for exposure in (grism, direct)))
    return _simulation(instrument, size, (exposures,) * 2, errors or PointingErrors(drift=0.2), scene)


def small_dithers(
    instrument: str = "wfc3_ir",
    size: int | tuple[int, int] | None = None,
    errors: PointingErrors | None = None,
    scene: SceneSettings | None = None,
) -> Simulation:
    """Plan dithers of 0.6" with errors of their own, and grism exposures at other ones; see `case_a`.

    In the first visit each grism exposure is followed by a direct one at its dither, in the second only the
    last one is.

    Parameters
    ----------
    instrument, size, scene
        As for `case_a`.
    errors : PointingErrors, optional
        How wrong the pointings are; by default those of the other cases, for grism exposures too.
    """
    elements, (direct, grism) = _ELEMENTS[instrument][0], _TIMES[instrument]
    first = [(elements[0], direct, _SMALL[0])]
    for dither in _SMALL[1:]:
        first += [(elements[1], grism, dither), (elements[0], direct, dither)]
    second = [first[0], *((elements[1], grism, dither) for dither in _SMALL[1:]), first[-1]]
    exposures = tuple(tuple(SimulatedExposure(*each) for each in visit) for visit in (first, second))
    errors = errors or PointingErrors(jitter_of_grisms=True)
    return _simulation(instrument, size, exposures, errors, scene)
