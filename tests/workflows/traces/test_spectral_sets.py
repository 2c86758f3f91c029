"""Which groups of spectra hang together, and what direct exposures leave open of each."""

from types import SimpleNamespace

import numpy as np
import pytest

from grism_align.algorithms.propagation.propagation_error import open_errors
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform, TangentPlane
from grism_align.workflows.traces.spectra import _linked
from tests.support.associations import exposure
from tests.support.governed import governed

DAY = 86400.0
VARIANCES = {"iaaa01d1q": 1e-6, "iaaa02d1q": 4e-6, "iaaa03d1q": 9e-6}
RADIUS = 1.0


def visit(name, day):
    """Return a direct exposure and two grism exposures at dithers."""
    places = {"d1q": (0.0, 0.0), "g1q": (0.0, 0.0), "g2q": (5.0, 3.0)}
    return [
        exposure(f"iaaa{name}{key}", day * DAY + 300.0 * number, grism=key[0] == "g", east=east, north=north)
        for number, (key, (east, north)) in enumerate(places.items())
    ]


def field(governors):
    """Return three visits as a survey, and what spectra tell of their grism exposures, visit by visit."""
    exposures = [
        each for number, name in enumerate(("01", "02", "03")) for each in visit(name, 10.0 * number)
    ]
    fit = LinearTransform.identity(TangentPlane(53.0, -27.8))
    fits = {
        each.key: ExposureFit(FitStatus.ALIGNED, fit, governed=governed(*governors[each.key[:6]]))
        for each in exposures
        if not each.is_direct
    }
    survey = SimpleNamespace(exposures=SimpleNamespace(exposures=exposures), solution=AlignmentSolution(fits))
    told = []
    for first in (0, 3, 6):
        members = exposures[first + 1 : first + 3]
        group = SimpleNamespace(
            keys=tuple(each.key for each in members),
            jobs=[SimpleNamespace(exposure=each) for each in members],
        )
        told.append(SimpleNamespace(group=group, axes=np.tile(0.13 * np.eye(2), (2, 1, 1))))
    return survey, told


OWN = {"iaaa01": ("iaaa01d1q",), "iaaa02": ("iaaa02d1q",), "iaaa03": ("iaaa03d1q",)}
LENT = OWN | {"iaaa03": ("iaaa01d1q",)}
SHARED = OWN | {"iaaa03": ("iaaa02d1q", "iaaa01d1q")}


@pytest.mark.parametrize(
    ("governors", "sets"),
    [(OWN, {(0,), (1,), (2,)}), (LENT, {(0, 2), (1,)}), (SHARED, {(0, 1, 2)})],
    ids=["own", "lent", "shared"],
)
def test_groups_hang_together_that_direct_exposures_of_one_acquisition_govern(governors, sets):
    """Each has in its set what it has among all, and what sets have in common is nothing but drift."""
    survey, told = field(governors)
    linked = list(_linked(survey, told, VARIANCES, RADIUS))
    assert {each.groups for each in linked} == sets
    members = [job.exposure for one in told for job in one.group.jobs]
    whole = open_errors(members, survey.solution, survey.exposures.exposures, VARIANCES, RADIUS)
    among = np.zeros((len(members), len(members)), dtype=bool)
    for each in linked:
        rows = np.concatenate([[2 * group, 2 * group + 1] for group in each.groups])
        among[np.ix_(rows, rows)] = True
        for part, of_all in zip(each.left_open, whole.parts, strict=True):
            expected = np.kron(of_all[np.ix_(rows, rows)], np.eye(2)) / 0.13**2
            assert part == pytest.approx(expected, abs=1e-9)
    for part in whole.parts:
        assert part[~among] == pytest.approx(0.0, abs=1e-12)
