"""Two runs at once: one at a time writes a file, and the other says so, whenever it comes."""

from __future__ import annotations

from itertools import product

import pytest

from grism_align.io.files import claims
from grism_align.io.missions import read_exposure
from grism_align.values.errors import ChangedError, GrismAlignError, OutputError
from grism_align.workflows import undo as undoing
from grism_align.workflows import user_shifts
from grism_align.workflows.reapply import plan_reapplication, write_reapplication
from grism_align.workflows.results import claims as claiming
from grism_align.workflows.results import write as results
from grism_align.workflows.results.claims import claimed_results
from grism_align.workflows.results.destination import Destination, destination_for
from grism_align.workflows.results.write import write_results
from grism_align.workflows.undo import undo_files
from tests.support.executors import HERE
from tests.support.processes import elsewhere
from tests.support.runs import KEYS, assert_of_one_run, corrected, loaded, make_exposures

#: Of these, those where a claim or a name changes before or after: between them nothing does.
TURNS = {
    True: {"loaded", "claimed", "writing", "about to change names", "done"},
    False: {"loaded", "writing"},
}

#: Where the first run is when the second comes, and goes to its end.
MOMENTS = {
    "loaded": (claiming, "with_free_product"),
    "claimed": (claiming, "require_unchanged"),
    "looking": (results, "findings_of"),
    "writing": (results, "write_exposures"),
    "written": (results, "write_record"),
    "about to change names": (results, "mark_pages"),
    "done": (results, "move_aside"),
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(claims, "PATIENCE", 0.0)


@pytest.fixture
def raw(tmp_path):
    make_exposures(tmp_path / "raw")
    return tmp_path / "raw"


def align(raw, folder, by):
    """A run from the first look at the files to the last."""
    with claimed_results(corrected(loaded(raw), by), Destination(folder, folder == raw)) as exposures:
        write_results(exposures, Destination(folder, folder == raw), HERE)


def shift_of(folder, record):
    """Of the files of a folder: how far they were moved, which must be the same for all."""
    moved = {float(record.exposures[key].total.transform.shift[0].round(6)) for key in KEYS}
    assert len(moved) == 1
    written = {read_exposure(folder / f"{key}_flt.fits").taken_names[0] for key in KEYS}
    assert len(written) == 1
    return moved.pop()


def _comes(monkeypatch, moment, second):
    """Have a second run come, in another process, at a moment of the first; what comes of it."""
    module, name = MOMENTS[moment]
    original, answers = getattr(module, name), []

    def arrived(*arguments):
        # for the second run it is as it was, and so it is for the first from now on
        monkeypatch.setattr(module, name, original)
        answers.append(elsewhere(second))
        return original(*arguments)

    monkeypatch.setattr(module, name, arrived)
    return answers


@pytest.mark.parametrize(
    ("moment", "in_place"),
    [
        pytest.param(moment, in_place, marks=() if moment in TURNS[in_place] else pytest.mark.slow)
        for in_place, moment in product((True, False), MOMENTS)
    ],
)
def test_the_files_and_the_record_are_of_one_run(raw, tmp_path, monkeypatch, moment, in_place):
    folder = raw if in_place else tmp_path / "out"
    answers = _comes(monkeypatch, moment, lambda: align(raw, folder, 0.9))
    first = None
    try:
        align(raw, folder, 0.5)
    except GrismAlignError as error:
        first = error
    [second] = answers
    [record] = assert_of_one_run(folder)
    if moment == "loaded":
        # the second was whole before the first began: in place it took its files from under it
        assert second is None
        assert isinstance(first, ChangedError) == in_place
        assert shift_of(folder, record) == (0.9 if in_place else 0.5)
    else:
        assert first is None
        assert isinstance(second, OutputError)
        assert "another run" in second.problem
        assert shift_of(folder, record) == 0.5


@pytest.mark.parametrize(
    "moment", [pytest.param("loaded", marks=pytest.mark.slow), "writing", "about to change names"]
)
def test_runs_of_other_exposures_do_not_mind_each_other(raw, tmp_path, monkeypatch, moment):
    make_exposures(tmp_path / "other", ("ibbb01d1q", "ibbb01d2q"))
    answers = _comes(monkeypatch, moment, lambda: align(tmp_path / "other", tmp_path / "out", 0.9))
    align(raw, tmp_path / "out", 0.5)
    if moment == "about to change names":
        # for that moment the folder is one run's
        assert isinstance(answers[0], OutputError)
        return
    assert answers == [None]
    assert_of_one_run(tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*_provenance.asdf"))) == 2
    assert len(list((tmp_path / "out").glob("*_flt.fits"))) == 5


@pytest.mark.parametrize("moment", [pytest.param("claimed", marks=pytest.mark.slow), "writing"])
def test_undo_and_a_run(raw, monkeypatch, moment):
    align(raw, raw, 0.4)
    files = sorted(raw.glob("*_flt.fits"))
    answers = _comes(monkeypatch, moment, lambda: undo_files(files, in_place=True))
    exposures = loaded(raw)
    with claimed_results(corrected(exposures, 0.5), Destination(raw, in_place=True)) as own:
        write_results(own, Destination(raw, in_place=True), HERE)
    assert isinstance(answers[0], OutputError)
    assert_of_one_run(raw)


def test_a_run_while_files_are_undone(raw, monkeypatch):
    align(raw, raw, 0.4)
    answers, mark = [], undoing.mark_pages

    def arrived(*arguments):
        answers.append(elsewhere(lambda: align(raw, raw, 0.5)))
        return mark(*arguments)

    monkeypatch.setattr(undoing, "mark_pages", arrived)
    assert len(undo_files(sorted(raw.glob("*_flt.fits")), in_place=True)) == len(KEYS)
    assert isinstance(answers[0], OutputError)
    assert [path.name for path in raw.iterdir() if path.name.startswith(".")] == []


@pytest.fixture
def table(tmp_path):
    (tmp_path / "mine.csv").write_text("exposure,dra,ddec\n" + "".join(f"{key},0.1,0.2\n" for key in KEYS))
    return tmp_path / "mine.csv"


@pytest.mark.parametrize("moment", ["loaded", pytest.param("claimed", marks=pytest.mark.slow), "writing"])
def test_shift(raw, table, monkeypatch, moment):
    def shift():
        plan = user_shifts.plan_shifts(table, [raw])
        user_shifts.write_shifts(plan, destination_for(plan.exposures, None, in_place=True), HERE)

    answers = _comes(monkeypatch, moment, shift)
    if moment == "loaded":
        with pytest.raises(ChangedError):
            shift()
        assert answers == [None]
    else:
        shift()
        assert isinstance(answers[0], OutputError)
    assert_of_one_run(raw)


@pytest.mark.parametrize("moment", [pytest.param("looking", marks=pytest.mark.slow), "about to change names"])
def test_apply(raw, tmp_path, monkeypatch, moment):
    align(raw, tmp_path / "out", 0.5)

    def apply():
        plan = plan_reapplication(tmp_path / "out" / "raw_provenance.asdf", [raw])
        write_reapplication(plan, destination_for(plan.exposures, None, in_place=True), HERE)

    answers = _comes(monkeypatch, moment, apply)
    apply()
    assert isinstance(answers[0], OutputError)
    assert_of_one_run(raw)
