"""What a set of exposures keeps where some are left out."""

from __future__ import annotations

from dataclasses import fields, replace

from grism_align.values.solution import AlignmentSolution
from grism_align.values.trace import SpectralCheck, TraceCheck
from tests.support.reports import field


def test_nothing_is_known_of_what_was_left_out():
    exposures = field()
    direct, grism = exposures.direct[0].key, exposures.grisms[0].key
    exposures = replace(
        exposures,
        traces={grism: TraceCheck.missing("too faint")},
        spectra={grism: SpectralCheck.missing("too faint")},
        cosmic_rays={direct: {}},
    )
    left = exposures.without([direct, grism])
    assert len(left.exposures) == len(exposures.exposures) - 2
    for one in fields(left):
        value = getattr(left, one.name)
        known = value.fits if isinstance(value, AlignmentSolution) else value
        assert not isinstance(known, dict) or not known.keys() & {direct, grism}, one.name
