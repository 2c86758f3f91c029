"""Exposures of JWST from files to files, and back."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.errors import InputError
from grism_align.values.solution import FitStatus
from grism_align.workflows.undo import undo_files

pytest.importorskip("jwst", reason="needs jwst")
from tests.support import jwst_models as jm

NIRISS = [{"NIS": ("CLEAR", "F150W")}, {"NIS": ("GR150C", "F150W")}] * 2
SHORT = {"NRCA1": ("F210M", "CLEAR"), "NRCA4": ("F210M", "CLEAR")}
# images of the long channel are of other pointings than its spectra
NIRCAM = [
    {"NRCALONG": ("F356W", "GRISMR"), **SHORT},
    {"NRCALONG": ("F356W", "GRISMR"), **SHORT},
    {"NRCALONG": ("F356W", "CLEAR"), **SHORT},
    {"NRCALONG": ("F356W", "CLEAR"), **SHORT},
]
STEPS = {"visit_mosaic": {"skip": True}}


def common_removed(field, folder):
    """How far written WCSs have corners from the truth, after what all have in common, mas: rms by key."""
    middle = next(iter(field.true.values())).plane
    before, after, keys = [], [], []
    for path in field.paths:
        exposure = read_exposure(folder / path.name)
        before.append(middle.to_plane(field.true[exposure.key].footprint()))
        after.append(middle.to_plane(exposure.chips[0].wcs.footprint()))
        keys.append(exposure.key)
    x, y = np.concatenate(before), np.concatenate(after)
    design = np.column_stack([x, np.ones(len(x))])
    found, *_ = np.linalg.lstsq(design, y, rcond=None)
    off = 1e3 * (y - design @ found).reshape(len(keys), 4, 2)
    return dict(zip(keys, np.sqrt((off**2).mean(axis=(1, 2))), strict=True))


@pytest.mark.slow
def test_niriss(tmp_path):
    field = jm.jwst_field(tmp_path / "data", [jm.NIS], NIRISS, np.random.default_rng(4))
    out = tmp_path / "out"
    result = GrismAlignPipeline.call([str(path) for path in field.paths], output_dir=str(out), steps=STEPS)
    assert {fit.status for fit in result.total.fits.values()} == {FitStatus.REFERENCE, FitStatus.ALIGNED}
    # some 60 stars to 0.01 pixel each
    off = common_removed(field, out)
    assert max(rms for key, rms in off.items() if result[key].is_direct) < 1.0
    undone = undo_files(sorted(out.glob("*.fits")), tmp_path / "undone")
    assert {one.restored for one in undone} == {"A-PRIORI"}
    for path in field.paths:
        before, after = (read_exposure(folder / path.name) for folder in (path.parent, tmp_path / "undone"))
        np.testing.assert_array_equal(after.chips[0].wcs.footprint(), before.chips[0].wcs.footprint())


@pytest.mark.slow
def test_images_of_the_short_channel_govern_spectra_of_the_long_one(tmp_path):
    """Though the detectors are not quite where they should be."""
    detectors = [
        replace(jm.LONG, misplaced=(0.004, -0.002)),
        replace(jm.SHORT_1, misplaced=(-0.003, -0.003)),
        jm.SHORT_4,
    ]
    field = jm.jwst_field(tmp_path / "data", detectors, NIRCAM, np.random.default_rng(5))
    out = tmp_path / "out"
    result = GrismAlignPipeline.call([str(path) for path in field.paths], output_dir=str(out), steps=STEPS)
    assert {fit.status for fit in result.total.fits.values()} == {FitStatus.REFERENCE, FitStatus.ALIGNED}
    off = common_removed(field, out)
    assert max(off.values()) < 1.5
    for grism in result.grisms:
        governed = result.total.fits[grism.key].governed
        assert governed.rule == "simultaneous"
        assert {result[key].pointing for key in governed.exposures} == {grism.pointing}
    record = read_record(out / "aligned_provenance.asdf")
    assert {one.instrument for one in record.exposures.values()} == {"nircam_long", "nircam_short"}
    # what all have in common is the pointings'
    placed = {one.name: places_of(record, one.name) for one in detectors}
    for one, other in combinations(detectors, 2):
        (first, error), (second, its_error) = placed[one.name], placed[other.name]
        assert 0 < error < 1.0
        expected = 1e3 * np.subtract(one.misplaced, other.misplaced)
        np.testing.assert_allclose(np.subtract(first, second), expected, atol=4 * np.hypot(error, its_error))


def places_of(record, detector):
    """Return the placement of a detector, mas, and its error: the same of all exposures."""
    own = [one.relative for key, one in record.exposures.items() if key.endswith(detector.lower())]
    ((placement, error),) = {(fit.placement, fit.placement_error) for fit in own if fit is not None}
    return placement, error


@pytest.mark.slow
def test_steps_go_on_from_files(tmp_path):
    """A second run on the products of the first, with its record, changes nothing."""
    field = jm.jwst_field(tmp_path / "data", [jm.NIS], NIRISS[:2], np.random.default_rng(6))
    first, second = tmp_path / "first", tmp_path / "second"
    GrismAlignPipeline.call([str(path) for path in field.paths], output_dir=str(first), steps=STEPS)
    association = first / "aligned_asn.json"
    GrismAlignPipeline.call(str(association), output_dir=str(second), steps=STEPS)
    for path in field.paths:
        one, other = (read_exposure(folder / path.name).chips[0].wcs for folder in (first, second))
        plane = one.plane
        apart = plane.to_plane(one.footprint()) - plane.to_plane(other.footprint())
        assert 1e3 * np.abs(apart).max() < 0.02


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"headerlets": "file"}, "no headerlets"),
        ({"steps": {"visit_mosaic": {"skip": False, "flag_exposures": True}}}, "not flagged"),
    ],
)
def test_what_jwst_has_not_is_refused_before_any_work(tmp_path, changes, says):
    field = jm.jwst_field(tmp_path / "data", [jm.NIS], NIRISS[:2], np.random.default_rng(6))
    with pytest.raises(InputError, match=says):
        GrismAlignPipeline.call(
            [str(path) for path in field.paths], output_dir=str(tmp_path / "out"), **changes
        )
    assert not (tmp_path / "out").exists()
