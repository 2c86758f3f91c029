"""What to do about failures: every reason is made where it is written, and is read for what it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.measuring.detect import detect_sources
from grism_align.algorithms.measuring.measure import measure_exposure
from grism_align.algorithms.propagation.propagate import propagate
from grism_align.algorithms.relative.relative import align_relative
from grism_align.io.report.advice import Failure, failure_of
from grism_align.values.catalog import SourceCatalog
from grism_align.values.errors import (
    AmbiguousMatchError,
    LooseMatchError,
    TooFewMatchesError,
    UnreliableMatchError,
)
from grism_align.values.settings import (
    DetectionSettings,
    MatchSettings,
    PointingSettings,
    PropagationSettings,
    RelativeSettings,
)
from grism_align.values.solution import AlignmentSolution, ExposureFit
from grism_align.values.transform import LinearTransform
from tests.support.associations import exposure
from tests.support.exposures import PLANE, observe, stars
from tests.support.images import gaussian_sources, lattice, noisy

SHAPE = (120, 120)


def _noted(dq):
    quality = np.full(SHAPE, dq, np.int16)
    return detect_sources(np.zeros(SHAPE), np.ones(SHAPE), quality, DetectionSettings()).note


def _trailed():
    rng = np.random.default_rng(9)
    xy, shape = lattice(7, 24, rng)
    drawn_out = gaussian_sources(xy, np.full(len(xy), 4000.0), (1.7, 1.0), shape)
    chip = (1, *noisy(drawn_out, 10.0, rng), np.zeros(shape, np.int16))
    return measure_exposure(exposure("iaaa01d1q", 0), [chip], DetectionSettings()).note


@pytest.fixture(scope="module")
def observed():
    """Three exposures of one field and their catalogs."""
    rng = np.random.default_rng(301)
    sky, still = stars(rng, 60), LinearTransform.identity(PLANE)
    made = [observe(sky, still, rng, f"iaaa01d{n}q", start=1e3 * n) for n in range(3)]
    return [e for e, _ in made], {e.key: catalog for e, catalog in made}


def _last(observed, table, *, shared=False, **changes):
    """The reason of the last exposure, whose catalog is another; of the others' acquisition or its own."""
    exposures = [replace(e, group="g" if shared else e.key) for e in observed[0]]
    last = exposures[-1].key
    catalogs = {**observed[1], last: SourceCatalog(table)}
    match = MatchSettings(**changes)
    result = align_relative(exposures, catalogs, RelativeSettings(), match, PointingSettings())
    return result.solution.fits[last].reason


def _blurred(observed, rng, noise):
    table = _own(observed)
    for axis in "xy":
        table[axis] += noise * rng.normal(size=len(table))
    return table


def _own(observed):
    return observed[1][observed[0][-1].key].table.copy()


def _no_direct(observed, *, fails):
    grism = exposure("iaaa01g1q", 300, grism=True, group="a")
    direct = replace(observed[0][0], group="a" if fails else "b")
    fits = AlignmentSolution({direct.key: ExposureFit.failed("trailed: x")}) if fails else AlignmentSolution()
    return propagate([grism], [direct] if fails else [], fits, PropagationSettings())[grism.key].reason


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (lambda: _noted(4), Failure.FLAGGED),
        (lambda: _noted(0), Failure.NO_SOURCES),
        (_trailed, Failure.TRAILED),
        (lambda: str(TooFewMatchesError(3, 6)), Failure.FEW_MATCHES),
        (lambda: str(AmbiguousMatchError(9, 8, 2.0)), Failure.AMBIGUOUS),
        (lambda: str(UnreliableMatchError(5, 1e-2, 1e-4)), Failure.BY_CHANCE),
        (lambda: str(LooseMatchError(5, 0.3, 0.1)), Failure.FEW_MATCHES),
        (lambda: "anything else", Failure.OTHER),
    ],
)
def test_reasons_of_one_exposure(reason, kind):
    assert failure_of(reason()) is kind


def test_reasons_of_the_relative_alignment(observed):
    rng = np.random.default_rng(302)
    assert failure_of(_last(observed, _own(observed)[:3])) is Failure.NO_SOURCES
    elsewhere = observe(stars(rng), LinearTransform.identity(PLANE), rng, "iccc03d1q")[1]
    assert failure_of(_last(observed, elsewhere.table)) is Failure.ELSEWHERE
    away = _last(observed, elsewhere.table, shared=True)
    assert "; its sources are not where " in away
    assert failure_of(away) is failure_of(away.split("; ")[-1]) is Failure.ELSEWHERE
    assert failure_of(_last(observed, _blurred(observed, rng, 0.15), max_rms=0.02)) is Failure.LOOSE
    assert failure_of(_last(observed, _blurred(observed, rng, 0.8))) is Failure.BY_CHANCE


@pytest.mark.parametrize("fails", [True, False])
def test_reasons_of_the_propagation(observed, fails):
    assert failure_of(_no_direct(observed, fails=fails)) is Failure.NO_DIRECT


def test_every_kind_says_what_to_do():
    assert len({kind.remedy for kind in Failure}) == len(list(Failure))
    assert all(kind.remedy and not kind.remedy.endswith(".") for kind in Failure)
