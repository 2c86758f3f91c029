"""The step on exposures that drift: what it takes out, records, and does again from files."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from grism_align.io.record.file import read_record
from grism_align.simulation import PointingErrors, interleaved
from grism_align.steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from grism_align.steps.pipeline import GrismAlignPipeline
from tests.support.fields import make_field, score_of, wcs_apart

# Between the middles of a grism exposure and its neighbours this makes 14 mas.
DRIFT = 0.5


@pytest.fixture(scope="module")
def drifting(tmp_path_factory):
    """A direct, a grism and a direct exposure at one pointing; their alignment, and its files."""
    simulation = interleaved(size=200, n_grisms=1, errors=PointingErrors(drift=DRIFT))
    simulation = replace(simulation, visits=simulation.visits[:1])
    folder = tmp_path_factory.mktemp("drifting")
    field = make_field(simulation, folder)
    out = folder / "out"
    result = GrismAlignPipeline.call(str(field.association), output_dir=str(out), configure_log=False)
    return field, result, out


def test_drift_is_taken_out(drifting):
    field, result, out = drifting
    [grism] = result.grisms
    fit = result.fit(grism.key)
    assert fit.governors == tuple(direct.key for direct in result.direct)
    assert str(fit.governed).startswith("interpolated, -90 s (0.5")
    scores = score_of(field.truth, out)
    assert scores[grism.key].relative < 3.0


def test_methods(drifting, caplog):
    _, result, _ = drifting
    [grism] = result.grisms
    # without what `associate` wrote into the association
    free = replace(result, exposures=tuple(replace(e, governors=()) for e in result.exposures))
    shifts = {}
    for method in ("auto", "previous", "nearest", "interpolate", "visit"):
        found = GrismWCSPropagateStep.call(free, method=method, configure_log=False)
        shifts[method] = found.fit(grism.key).transform.at(grism.plane).shift
    np.testing.assert_array_equal(shifts["auto"], shifts["interpolate"])
    moved = 1e3 * np.hypot(*(shifts["previous"] - shifts["auto"]))
    assert moved == pytest.approx(1e3 * DRIFT * 0.12825 * 765 / 3600, abs=3.0)
    np.testing.assert_allclose(shifts["visit"], shifts["auto"], atol=2e-3)
    assert "association" not in caplog.text


def test_the_association_comes_before_the_method(drifting, caplog):
    _, result, _ = drifting
    [grism] = result.grisms
    caplog.set_level(logging.WARNING)
    last = result.direct[1].key
    named = tuple(e if e.is_direct else replace(e, governors=(last,)) for e in result.exposures)
    found = GrismWCSPropagateStep.call(
        replace(result, exposures=named), method="previous", configure_log=False
    )
    assert found.fit(grism.key).governors == (last,)
    assert found.fit(grism.key).governed.rule == "association"
    assert "names what governs 1 grism exposures, not method" in caplog.text


def test_on_record_and_again_from_files(drifting, tmp_path):
    _, result, out = drifting
    [grism] = result.grisms
    fit = result.fit(grism.key)
    [record] = out.glob("*_provenance.asdf")
    entry = read_record(record).exposures[grism.key].grism
    assert tuple(entry.governed.exposures) == fit.governors
    assert entry.governed.weights == pytest.approx(fit.governed.weights)
    assert entry.governed.idle_times == pytest.approx(fit.governed.idle_times)
    assert entry.governed.propagation_error == pytest.approx(fit.governed.propagation_error)
    again = GrismWCSPropagateStep.call(
        str(out / "field_asn.json"), output_dir=str(tmp_path), configure_log=False
    )
    assert str(again.fit(grism.key).governed) == str(fit.governed)
    assert wcs_apart(tmp_path / grism.source.name, out / grism.source.name) < 0.01
