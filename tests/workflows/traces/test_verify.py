"""Simulated fields whose corrections are the true ones, but for shifts that the traces have to show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from numpy.polynomial.polynomial import polysub

from grism_align.algorithms.measuring.measure import measure_exposure
from grism_align.algorithms.traces.correction import rows_moved
from grism_align.algorithms.traces.model import NO_TRACE, find_trace
from grism_align.algorithms.traces.sources import frame_sources
from grism_align.io.missions import read_exposure, read_pixels
from grism_align.simulation import PointingErrors, SceneSettings, case_a, simulate
from grism_align.simulation.instruments import ELEMENTS
from grism_align.values.failure import NoSources
from grism_align.values.field import ExposureSet
from grism_align.values.settings import DetectionSettings, TraceSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.trace import TraceModel
from grism_align.values.transform import LinearTransform
from grism_align.workflows.executors import SerialExecutor
from grism_align.workflows.traces import places
from grism_align.workflows.traces.survey import Survey
from grism_align.workflows.traces.verify import verified_with, verify_traces
from tests.support.detector_parts import binned, one_chip, subarray
from tests.support.executors import HERE
from tests.support.governed import governed

DRIFT = 0.2  # pixels


def bright(density, faintest):
    """Not so many sources that their spectra overlap."""
    return SceneSettings(
        star_density=density,
        galaxy_density=20.0,
        star_magnitudes=(17.0, faintest),
        galaxy_magnitudes=(20.0, 24.0),
    )


def true_set(simulation, folder, seed=5):
    """The exposures with their catalogs and true corrections."""
    truth = simulate(simulation, folder, np.random.default_rng(seed))
    exposures = tuple(read_exposure(path) for path in truth.paths)
    settings = DetectionSettings(centroid="windowed")
    catalogs = {}
    for exposure in exposures:
        if exposure.is_direct:
            catalogs[exposure.key] = measure_exposure(exposure, read_pixels(exposure), settings)
    fits = {}
    for exposure in exposures:
        transform = truth[exposure.key].correction(exposure.plane)
        governor = truth[exposure.key].governor
        fits[exposure.key] = ExposureFit(
            FitStatus.ALIGNED, transform, governed=governed(governor) if governor else None
        )
    directs = AlignmentSolution({e.key: fits[e.key] for e in exposures if e.is_direct})
    grisms = AlignmentSolution({e.key: fits[e.key] for e in exposures if not e.is_direct})
    return ExposureSet("field", exposures, catalogs=catalogs, relative=directs, grism=grisms), truth


def drifted(exposures, key, rows):
    """The grisms' solution with one correction wrong: it predicts traces `rows` pixels too low."""
    fit, chip = exposures.grism[key], exposures[key].chips[0]
    plane = fit.transform.plane
    low, high = plane.to_plane(fit.transform.apply_to_sky(chip.wcs.to_sky([[150, 150], [150, 151]])))
    wrong = fit.transform.then(LinearTransform(np.eye(2), rows * (high - low), plane))
    return AlignmentSolution({**exposures.grism.fits, key: replace(fit, transform=wrong)})


@pytest.fixture(scope="module")
def infrared(tmp_path_factory):
    errors = PointingErrors(jitter=DRIFT)
    simulation = case_a(size=(300, 420), n_pairs=2, n_visits=2, errors=errors, scene=bright(60.0, 23.0))
    return true_set(simulation, tmp_path_factory.mktemp("infrared"))


def configuration(folder, name="G141.conf", offset=0.0):
    """An aXe configuration of the simulated order."""
    order = max(ELEMENTS["wfc3_ir"]["G141"].orders, key=lambda order: order.fraction)
    path = folder / name
    path.write_text(
        f"BEAMA {order.start} {order.end}\nDYDX_A_0 {order.offset + offset}\nDYDX_A_1 {order.slope}\n"
    )
    return str(path)


def test_residuals_relative_to_other_exposures_vanish_with_true_corrections(infrared):
    exposures, truth = infrared
    found = verify_traces(Survey.of(exposures, exposures.grism, TraceSettings()), HERE)
    assert list(found.checks) == [grism.key for grism in exposures.grisms]
    after = np.array([check.after_px for check in found.checks.values()])
    error = np.array([check.after_error for check in found.checks.values()])
    assert (error < 0.05).all()
    assert (np.abs(after) < 4 * error).all()
    # The correction's own effect: what is injected, less the mean of the other exposures.
    model = TraceModel.straight(15, 196, 1.4, 0.0085)
    moved = np.array(
        [
            rows_moved(exposures[key].chips[0], truth[key].correction(exposures[key].plane), model)
            for key in found.checks
        ]
    )
    n = len(moved)
    before = np.array([check.before_px for check in found.checks.values()])
    assert before - after == pytest.approx((moved - moved.mean()) * n / (n - 1), abs=0.05)
    assert all(check.note == "relative to 3 other exposures" for check in found.checks.values())


def test_a_drift_across_the_dispersion_is_measured_within_its_error(infrared):
    exposures, _ = infrared
    key = exposures.grisms[1].key
    found = verify_traces(Survey.of(exposures, drifted(exposures, key, DRIFT), TraceSettings()), HERE)
    check = found.checks[key]
    assert check.n_sources >= 5
    assert abs(check.after_px - DRIFT) < 4 * check.after_error
    others = [other for name, other in found.checks.items() if name != key]
    assert all(abs(one.after_px + DRIFT / 3) < 4 * one.after_error for one in others)


def grism_of(exposures, rows, uncertain=()):
    """What is found where the corrections of the first grisms are wrong by so many rows each.

    Of those that are uncertain, corrections claim 6 pixels.
    """
    keys = [each.key for each in exposures.grisms[: len(rows)]]
    for key, wrong in zip(keys, rows, strict=True):
        exposures = replace(exposures, grism=drifted(exposures, key, wrong))
    solved = {key: exposures.grism[key] for key in keys}
    for number in uncertain:
        key, fit = keys[number], solved[keys[number]]
        covariance = np.array(fit.transform.covariance)
        covariance[[0, 1], [0, 1]] += (6.0 * exposures[key].pixel_scale) ** 2
        solved[key] = replace(fit, transform=replace(fit.transform, covariance=covariance))
    some = replace(exposures, exposures=(*exposures.direct, *exposures.grisms[: len(rows)]))
    found = verify_traces(Survey.of(some, AlignmentSolution(solved), TraceSettings()), HERE)
    (grism,) = found.grisms
    measured = [check.is_measured for check in found.checks.values()]
    return grism, [keys.index(key) for key in grism.displaced], measured


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("rows", [8.0, -8.0])
def test_the_traces_are_where_the_greater_part_has_them(infrared, number, rows):
    """Whichever exposure is asked first."""
    exposures, _ = infrared
    key = exposures.grisms[number].key
    found = verify_traces(Survey.of(exposures, drifted(exposures, key, rows), TraceSettings()), HERE)
    (grism,) = found.grisms
    assert grism.displaced == {key: pytest.approx(8.0, abs=2.0)}
    assert found.checks[key].note == "no trace within 4 px of where the others have it"
    for name, check in found.checks.items():
        assert (name == key) != (check.is_measured and abs(check.after_px) < 4 * check.after_error)


@pytest.mark.parametrize(
    ("rows", "displaced"),
    [
        ((0.0, 8.0), [0, 1]),
        ((8.0, 0.0, 0.0, 8.0), [0, 1, 2, 3]),
        # A place that is asked for later is asked of all
        ((6.0, 3.0, 0.0, 0.0), [0]),
        ((8.0, -8.0, 0.0, 0.0), [0, 1, 2, 3]),
    ],
)
def test_it_takes_more_than_half_to_be_believed(infrared, rows, displaced):
    _, found, measured = grism_of(infrared[0], rows)
    assert sorted(found) == displaced
    assert measured == [number not in displaced for number in range(len(rows))]


@pytest.mark.parametrize(
    ("rows", "uncertain", "verified"),
    [
        ((8.0, 0.0), [0], []),
        ((8.0, 8.0, 0.0), [0, 1], []),
        ((0.0, 8.0, 8.0, 8.0), [1, 2, 3], []),
        ((8.0, 8.0, 0.0, 0.0), [0, 1], [2, 3]),
        # Nothing is better known
        ((8.0, 0.0, 0.0), [0, 1, 2], [1, 2]),
    ],
)
def test_those_that_may_be_far_off_do_not_outvote_others(infrared, rows, uncertain, verified):
    grism, displaced, measured = grism_of(infrared[0], rows, uncertain)
    assert not displaced
    assert np.flatnonzero(measured).tolist() == verified
    told = [key for key in grism.keys if key not in grism.notes]
    assert [grism.keys.index(key) for key in told] == [n for n, wrong in enumerate(rows) if not wrong]


def test_detectors_tell_their_own_traces(infrared):
    """As those of NIRCam's modules: exposures of one don't tell of the other."""
    exposures, _ = infrared
    grisms = list(exposures.grisms)
    chips = [replace(chip, window=replace(chip.window, chip=2)) for chip in grisms[1].chips]
    grisms[1] = replace(grisms[1], chips=tuple(chips))
    # Three on the one, the first of which is displaced, and one on the other
    both = replace(exposures, exposures=(*exposures.direct, *grisms))
    grism, displaced, measured = grism_of(both, (8.0, 0.0, 0.0, 0.0))
    assert displaced == [0]
    assert measured == [False, True, True, True]
    assert sorted(grism.models) == [1, 2]


def mislead(monkeypatch, number):
    """Let the find of this number, from one on, of where traces lie be of 9 rows too low."""
    asked = []

    def misled(image, view, coarse):
        asked.append(coarse)
        model = find_trace(image, view, coarse)
        wrong = 9.0 if len(asked) == number else 0.0
        return replace(model, curve=polysub(model.curve, [wrong]))

    monkeypatch.setattr("grism_align.workflows.traces.places.find_trace", misled)


def test_one_that_misleads_is_passed_over(infrared, monkeypatch):
    """The second that is asked where traces are tells of a place where none has any."""
    mislead(monkeypatch, 2)
    _, displaced, measured = grism_of(infrared[0], (9.0, 0.0, 0.0, 0.0))
    assert displaced == [0]
    assert measured == [False, True, True, True]


def test_one_too_faint_to_stand_out_where_others_say_is_not_displaced(infrared, monkeypatch):
    """It stands out by a curve of its own, which lies where theirs does."""
    asked = []

    def stands_out_alone(survey, members, models, executor):
        asked.append(models)
        found = measured_by(survey, members, models, executor)
        faint = members[1].key
        none = [], f"{NO_TRACE} of where the others have it"
        return {key: one if (key == faint) == (len(asked) == 2) else none for key, one in found.items()}

    measured_by = places._measured
    monkeypatch.setattr(places, "_measured", stands_out_alone)
    _, displaced, measured = grism_of(infrared[0], (0.0, 0.0, 0.0, 0.0))
    assert len(asked) == 2
    assert not displaced
    assert measured == [True, False, True, True]


def test_one_that_misleads_on_one_chip_is_passed_over(tmp_path, monkeypatch):
    simulation = case_a("acs_wfc", size=(200, 600), n_pairs=2, n_visits=1, scene=bright(150.0, 21.5))
    exposures, _ = true_set(simulation, tmp_path)
    expected, _, _ = grism_of(exposures, (0.0, 0.0))
    mislead(monkeypatch, 2)
    grism, displaced, _ = grism_of(exposures, (0.0, 0.0))
    assert not displaced
    assert (grism.offsets.n_sources > 0.8 * expected.offsets.n_sources).all()


def crowded(light):
    """Traces of other sources beside all."""
    return light + 0.7 * np.roll(light, 9, axis=0)


def trailed(light):
    return np.mean([np.roll(light, row, axis=0) for row in range(-10, 11)], axis=0)


@pytest.mark.parametrize(("spoilt", "verified"), [(crowded, [True, True]), (trailed, [False, False])])
@pytest.mark.parametrize("order", [1, -1])
def test_one_with_other_light_is_no_reason_to_doubt_another(infrared, spoilt, verified, order, tmp_path):
    exposures, _ = infrared
    good, other = exposures.grisms[:2]
    with fits.open(other.source.path) as hdus:
        hdus["SCI"].data = spoilt(hdus["SCI"].data).astype(np.float32)
        hdus.writeto(tmp_path / other.source.name)
    pair = (good, read_exposure(tmp_path / other.source.name))[::order]
    _, displaced, measured = grism_of(replace(exposures, exposures=(*exposures.direct, *pair)), (0.0, 0.0))
    assert not displaced
    assert measured == verified


def test_another_correction_needs_no_other_measurement(infrared):
    exposures, _ = infrared
    key = exposures.grisms[1].key
    wrong, right = (
        Survey.of(exposures, solution, TraceSettings())
        for solution in (drifted(exposures, key, DRIFT), exposures.grism)
    )
    expected = verify_traces(right, HERE).checks
    found = verified_with(verify_traces(wrong, HERE), right).checks
    for name, check in found.items():
        assert check.after_px == pytest.approx(expected[name].after_px, abs=0.01)
        assert check.before_px == pytest.approx(expected[name].before_px, abs=0.01)


def test_with_a_configuration_residuals_are_absolute(infrared, tmp_path):
    exposures, _ = infrared
    settings = TraceSettings(trace_config=(configuration(tmp_path, offset=-0.3),))
    found = verify_traces(Survey.of(exposures, exposures.grism, settings), HERE)
    for check in found.checks.values():
        assert check.note == "against G141.conf"
        assert abs(check.after_px - 0.3) < 4 * check.after_error
        assert check.after_error < 0.05


def test_progress_is_shown(infrared):
    exposures, _ = infrared
    seen = []

    def track(names, label):
        for name in names:
            seen.append((label, name))
            yield name

    verify_traces(Survey.of(exposures, exposures.grism, TraceSettings()), SerialExecutor(track))
    assert seen == [("Verifying", grism.key) for grism in exposures.grisms]


def test_one_exposure_needs_a_configuration(infrared, tmp_path):
    exposures, _ = infrared
    one = replace(exposures, exposures=(*exposures.direct, exposures.grisms[0]))
    check = verify_traces(Survey.of(one, exposures.grism, TraceSettings()), HERE).checks[
        exposures.grisms[0].key
    ]
    assert not check.is_measured
    assert check.note == "no other exposure of the grism, nor a configuration"
    settings = TraceSettings(trace_config=(configuration(tmp_path),))
    check = verify_traces(Survey.of(one, exposures.grism, settings), HERE).checks[exposures.grisms[0].key]
    assert abs(check.after_px) < 4 * check.after_error


def test_what_cannot_be_measured_has_a_note(infrared):
    exposures, _ = infrared
    first, second, *_ = exposures.grisms
    failed = AlignmentSolution({**exposures.grism.fits, first.key: ExposureFit.failed(NoSources(6.0))})
    unknown = replace(second, filter="G000")
    some = replace(exposures, exposures=(*exposures.direct, first, unknown), catalogs=exposures.catalogs)
    found = verify_traces(Survey.of(some, failed, TraceSettings()), HERE).checks
    assert found[first.key].note == "not aligned"
    assert "is not known; give its configuration" in found[second.key].note
    bare = replace(exposures, catalogs={})
    found = verify_traces(Survey.of(bare, exposures.grism, TraceSettings()), HERE).checks
    assert {check.note for check in found.values()} == {"no trace bright and isolated enough"}
    assert len(frame_sources(bare, 0)) == 0


@pytest.mark.parametrize(
    ("instrument", "size"),
    [("acs_wfc", (200, 600)), pytest.param("wfc3_uvis", (300, 700), marks=pytest.mark.slow)],
)
def test_two_chips_give_one_offset_of_each_exposure(instrument, size, tmp_path):
    simulation = case_a(instrument, size=size, n_pairs=2, n_visits=1, scene=bright(150.0, 21.5))
    exposures, _ = true_set(simulation, tmp_path)
    key = exposures.grisms[1].key
    found = verify_traces(Survey.of(exposures, drifted(exposures, key, DRIFT), TraceSettings()), HERE)
    check = found.checks[key]
    assert check.after_error < 0.1
    assert abs(check.after_px - DRIFT) < 4 * check.after_error


def test_the_only_chip_of_a_subarray_has_the_configuration_of_its_ccdchip(tmp_path):
    """SCI,1 of a file with one chip may be CCDCHIP 1, which is SCI,2 of one with both."""
    simulation = case_a("acs_wfc", size=(200, 600), n_pairs=2, n_visits=1, scene=bright(150.0, 21.5))
    exposures, _ = true_set(simulation, tmp_path / "both")
    (tmp_path / "one").mkdir()
    parts = [read_exposure(one_chip(e.source, tmp_path / "one" / e.source.name)) for e in exposures.grisms]
    assert [[chip.number for chip in part.chips] for part in parts] == [[1], [1]]
    order = max(ELEMENTS["acs_wfc"]["G800L"].orders, key=lambda order: order.fraction)
    files = []
    for ccdchip, wrong in ((1, 0.0), (2, 2.0)):
        files.append(tmp_path / f"ACS.WFC.CHIP{ccdchip}.conf")
        files[-1].write_text(
            f"GFILTER G800L\nBEAMA {order.start} {order.end}\n"
            f"DYDX_A_0 {order.offset + wrong}\nDYDX_A_1 {order.slope}\n"
        )
    settings = TraceSettings(trace_config=tuple(str(file) for file in files))
    alone = replace(exposures, exposures=(*exposures.direct, *parts))
    for check in verify_traces(Survey.of(alone, exposures.grism, settings), HERE).checks.values():
        assert check.note == "against ACS.WFC.CHIP1.conf"
        assert check.after_error < 0.1
        assert abs(check.after_px) < 4 * check.after_error


@pytest.mark.parametrize(("cut", "xy"), [(subarray, [17.0, 30.0]), (binned, [0.5, 0.5])])
def test_where_an_array_lies_on_its_chip(tmp_path, cut, xy):
    simulation = case_a("wfc3_uvis", size=(64, 96), n_pairs=1, n_visits=1)
    path = simulate(simulation, tmp_path / "whole", np.random.default_rng(1)).paths[1]
    paths = (path, cut(path, tmp_path / path.name))
    whole, part = ({chip.number: chip.window for chip in read_exposure(p).chips} for p in paths)
    assert {extver: window.chip for extver, window in part.items()} == {1: 2, 2: 1}
    for extver, window in part.items():
        step = whole[extver].to_chip(np.array([xy])) - window.to_chip(np.zeros((1, 2)))
        assert step == pytest.approx(np.zeros((1, 2)), abs=1e-9)
        assert window.ltm == ((0.5, 0.5) if cut is binned else (1.0, 1.0))
