"""Verification on the spectra as part of the step: on record, in the table, taken up again, refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.io.record.file import read_record
from grism_align.simulation import PointingErrors, SceneSettings, case_a
from grism_align.steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.errors import InputError, SettingsError
from grism_align.workflows.load import load
from grism_align.workflows.summary_table import summary_table
from tests.support.fields import make_field

SCENE = SceneSettings(
    star_density=60.0, galaxy_density=20.0, star_magnitudes=(17.0, 23.0), galaxy_magnitudes=(20.0, 24.0)
)

#: Where it is the traces that matter, and not where all spectra lie.
FEW = {"spectra_sources": 5, "configure_log": False}


@pytest.fixture(scope="module")
def verified(tmp_path_factory):
    """Two visits, aligned and verified; the result, its files and what was logged."""
    folder = tmp_path_factory.mktemp("verified")
    errors = PointingErrors(jitter=0.2)
    simulation = case_a(size=(300, 420), n_pairs=2, n_visits=2, errors=errors, scene=SCENE)
    field = make_field(simulation, folder)
    out = folder / "out"
    steps = {"absolute_align": {"skip": True}}
    result = GrismAlignPipeline.call(
        str(field.association), output_dir=str(out), steps=steps, configure_log=False
    )
    return result, out / f"{result.product}_asn.json", out / f"{result.product}_provenance.asdf"


def test_every_grism_exposure_is_verified(verified):
    result, _, _ = verified
    assert list(result.traces) == [grism.key for grism in result.grisms]
    after = np.array([check.after_px for check in result.traces.values()])
    error = np.array([check.after_error for check in result.traces.values()])
    # the verification's own limit is 0.01 pixel, the corrections' some mas
    assert (np.abs(after) < 4 * np.hypot(error, 0.01)).all()
    before = np.array([check.before_px for check in result.traces.values()])
    assert np.abs(before).max() > 3 * np.abs(after).max()


def test_the_verification_is_on_record_and_taken_up_again(verified):
    result, association, provenance = verified
    entries = read_record(provenance).exposures
    for direct in result.direct:
        assert entries[direct.key].traces is None
    for grism in result.grisms:
        assert entries[grism.key].traces == result.traces[grism.key]
    assert load(association).traces == result.traces


def test_a_later_propagation_without_verification_forgets_it(verified):
    result, _, _ = verified
    again = GrismWCSPropagateStep.call(result, spectra="off", configure_log=False)
    assert not again.traces
    assert "trace [px]" not in summary_table(again)
    assert "trace [px]" in summary_table(result)
    assert "spectra [px]" in summary_table(result)


def test_an_exposure_with_the_correction_of_another_dither_is_put_right_by_its_spectra(verified):
    result, _, _ = verified
    first = result.grisms[0].key
    # governed by an exposure of another dither, whose correction differs by its jitter
    other = result.direct[1].key
    governed = tuple(replace(e, governors=(other,)) if e.key == first else e for e in result.exposures)
    wrong, right = (
        GrismWCSPropagateStep.call(replace(result, exposures=governed), spectra=spectra, configure_log=False)
        for spectra in ("off", "auto")
    )
    check = right.traces[first]
    assert abs(check.after_px) < 4 * np.hypot(check.after_error, 0.01)
    moved, error = np.array(right.spectra[first].moved_px), np.array(right.spectra[first].moved_error)
    off = offsets_between(wrong, result, first)
    assert np.abs(off).max() > 0.05
    assert (np.abs(moved - off) < 4 * error).all()
    left = offsets_between(right, result, first)
    assert (np.abs(left) < 4 * error).all()


def offsets_between(predicted, seen, key):
    """By how many pixels a spectrum lies from where it is predicted, if another solution has it right."""
    chip = seen[key].chips[0]
    place = np.array([[(side - 1) / 2 for side in reversed(chip.shape)]])
    sky = predicted.fit(key).transform.apply_to_sky(chip.wcs.to_sky(place))
    return (chip.wcs.to_pixel(seen.fit(key).transform.inverted().apply_to_sky(sky)) - place)[0]


def test_verification_wants_catalogs_and_configurations_that_are_there(verified, tmp_path):
    result, _, _ = verified
    with pytest.raises(SettingsError, match="no source catalogs"):
        GrismWCSPropagateStep.call(replace(result, catalogs={}), spectra="on", configure_log=False)
    missing = tmp_path / "G141.conf"
    with pytest.raises(InputError, match=r"G141\.conf"):
        GrismWCSPropagateStep.call(result, trace_config=str(missing), configure_log=False)


def test_a_constant_of_the_configuration_corrects_nothing_and_is_told_once(verified, tmp_path, caplog):
    result, _, _ = verified
    late = tuple(e if e.is_direct else replace(e, start=e.start + 1, end=e.end + 1) for e in result.exposures)
    late = tuple(e if e.is_direct else replace(e, governors=result.grism[e.key].governors) for e in late)
    late = replace(result, exposures=late)
    config = tmp_path / "G141.conf"
    off = {}
    for constant in (0.0, 0.3):
        caplog.clear()
        config.write_text(f"BEAMA 15 196\nDYDX_A_0 {1.4 + constant}\nDYDX_A_1 0.0085\n")
        again = GrismWCSPropagateStep.call(late, trace_config=str(config), **FEW)
        assert not any("corrected by" in fit.reason for fit in again.grism.fits.values())
        off[constant] = np.array([check.after_px for check in again.traces.values()])
        assert caplog.text.count("lie off G141.conf") == (constant > 0)
    assert off[0.3] == pytest.approx(off[0.0] - 0.3, abs=0.02)


def test_a_configuration_that_misses_the_trace_verifies_nothing(verified, tmp_path, caplog):
    result, _, _ = verified
    for name, constant in (("near", 6.0), ("far", -60.0)):
        config = tmp_path / f"{name}.conf"
        config.write_text(f"GFILTER G141\nBEAMA 15 196\nDYDX_A_0 {1.4 + constant}\nDYDX_A_1 0.0085\n")
        again = GrismWCSPropagateStep.call(result, trace_config=str(config), **FEW)
        assert not any(check.is_measured for check in again.traces.values())
        assert f"spectra not verified, no trace within 4 px of where {name}.conf has it" in caplog.text


def test_a_configuration_that_is_not_used_is_told(verified, tmp_path, caplog):
    result, _, _ = verified
    config = tmp_path / "any.conf"
    config.write_text("OPTKEY1 FILTER\nOPTVAL1 G102\nBEAMA 15 196\nDYDX_A_0 1.4\nDYDX_A_1 0.0085\n")
    again = GrismWCSPropagateStep.call(result, trace_config=str(config), **FEW)
    assert "any.conf is not used" in caplog.text
    assert {check.note for check in again.traces.values()} == {"relative to 3 other exposures"}
