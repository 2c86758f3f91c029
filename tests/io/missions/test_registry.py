from __future__ import annotations

import pickle
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from grism_align.io.missions import (
    check_undo,
    distortion_models,
    facts_of,
    file_source,
    flag_cosmic_rays,
    is_exposure,
    listed_by,
    read_corrections,
    read_exposure,
    read_instrument,
    read_keywords,
    read_pixels,
    root_name,
    solution_name,
    undo_exposure,
    write_exposure,
)
from grism_align.io.missions.hst import HST
from grism_align.io.missions.jwst import JWST
from grism_align.io.missions.registry import GROUP, mission_named, mission_of, missions
from grism_align.io.missions.roman import ROMAN
from grism_align.values.errors import InputError
from grism_align.values.mission import WcsLabel
from grism_align.values.mosaic import ChipMask
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.flat_mission import FLAT, HIT, SHAPE, flat_field
from tests.support.sources import LibraryEntry

LABEL = WcsLabel("NONE", "NEW", 5, (1.0, 1.0), "shift")


@pytest.fixture
def flat(install, tmp_path):
    """Exposures of a mission that an installed package brings."""
    install(flat="tests.support.flat_mission:FLAT")
    return flat_field(tmp_path / "data", np.random.default_rng(1))


def test_hst_is_there_without_being_installed(direct_path):
    assert mission_named("hst") is HST
    assert mission_of(file_source(direct_path)) is HST


def test_an_installed_package_brings_a_mission(flat, direct_path):
    assert list(missions()) == ["hst", "jwst", "roman", "flat"]
    assert mission_of(file_source(flat.paths[0])) is FLAT
    assert mission_of(file_source(direct_path)) is HST
    assert is_exposure(flat.paths[0])
    assert root_name(flat.paths[0]) == "flat0_0"
    assert listed_by(flat.paths[0]) is None


def test_a_mission_that_can_not_be_imported_is_left_out(install, direct_path, caplog):
    install(gone="no.such.module:GONE", nameless="tests.support.flat_mission:NOTHING")
    assert read_exposure(direct_path).telescope.mission == "hst"
    assert list(missions()) == ["hst", "jwst", "roman"]
    assert [record.args[0] for record in caplog.records] == ["gone", "nameless"]


@pytest.mark.parametrize(
    "content",
    [b"", b"An error page, not a file" * 300, bytes(range(256)) * 40],
    ids=["empty", "text", "bytes"],
)
@pytest.mark.parametrize("read", [read_exposure, read_instrument, read_corrections, check_undo])
def test_no_mission_claims_it(tmp_path, content, read):
    path = tmp_path / "x_flt.fits"
    path.write_bytes(content)
    with pytest.raises(InputError, match="in spite of its name") as caught:
        read(path)
    assert caught.value.path == str(path)
    assert caught.value.remedy
    assert not is_exposure(path)


def test_an_entry_of_a_library_is_for_missions_that_read_libraries():
    with pytest.raises(InputError, match="no exposure of a mission") as caught:
        read_exposure(LibraryEntry("nis", 3))
    assert "nis" in caught.value.path


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_exposure(tmp_path / "x_flt.fits")


def test_a_mission_that_is_not_installed():
    with pytest.raises(InputError, match="no such mission is installed; there are hst"):
        mission_named("flat")


def test_what_is_read_through_the_door(flat):
    assert read_instrument(flat.paths[0]) == "flat_cam"
    direct, grism = (read_exposure(path) for path in flat.paths[:2])
    assert (direct.is_direct, grism.is_direct) == (True, False)
    assert facts_of(grism) is FLAT.facts
    [(chip, pixels)] = read_pixels(direct)
    assert chip == direct.chips[0]
    assert pixels.sci.shape == SHAPE
    assert read_keywords(direct)["TARGNAME"] == ("FIELD", "target")
    assert solution_name(direct, "gaia", ("PLANNED",)) == "gaia-1-joint"
    assert distortion_models(direct, ("PLANNED",)) == frozenset()


def test_what_is_written_through_the_door_and_undone(flat, tmp_path):
    exposure = read_exposure(flat.paths[0])
    moved = LinearTransform.from_parameters(exposure.plane, (0.2, -0.1), 0.01, 1.0)
    target, back = tmp_path / "new_sky.npz", tmp_path / "old_sky.npz"
    write_exposure(exposure, ExposureFit(FitStatus.ALIGNED, moved), target, LABEL)
    written = read_exposure(target)
    corners = exposure.chips[0].wcs.footprint()
    apart = written.chips[0].wcs.footprint() - moved.apply_to_sky(corners)
    assert np.abs(3600 * apart).max() < 1e-6
    assert read_corrections(target).latest == written.wcs_solution == "NEW"
    hit = np.zeros(SHAPE, bool)
    hit[3, 5] = True
    flag_cosmic_rays(written, target, {1: ChipMask.of(hit)})
    [(_, pixels)] = read_pixels(read_exposure(target))
    assert np.argwhere(pixels.dq & HIT).tolist() == [[3, 5]]
    check_undo(target)
    undone = undo_exposure(target, back)
    assert (undone.undone, undone.restored, undone.remaining) == ("NEW", "PLANNED", False)
    np.testing.assert_array_equal(read_exposure(back).chips[0].wcs.footprint(), corners)


def test_an_exposure_travels_small_between_processes(truth):
    exposure = read_exposure(truth.paths[0])
    sent = pickle.dumps(exposure)
    again = pickle.loads(sent)
    xy = np.array([[3.0, 5.0], [20.0, 30.0]])
    for chip, other in zip(exposure.chips, again.chips, strict=True):
        np.testing.assert_array_equal(chip.wcs.to_sky(xy), other.wcs.to_sky(xy))
    assert again.telescope == exposure.telescope
    # lookup tables of the distortion and all, but no pixels
    assert len(sent) < 1e5


def test_the_package_declares_its_own_missions_too():
    with (Path(__file__).parents[3] / "pyproject.toml").open("rb") as stream:
        declared = tomllib.load(stream)["project"]["entry-points"][GROUP]
    loaded = {name: EntryPoint(name, where, GROUP).load() for name, where in declared.items()}
    assert loaded == {"hst": HST, "jwst": JWST, "roman": ROMAN}
