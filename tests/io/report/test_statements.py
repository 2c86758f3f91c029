"""What the report says is true: of odd exposures, of lone ones, of mosaics, and of steps left out."""

from __future__ import annotations

from dataclasses import replace

from grism_align.io.report import report_html
from grism_align.io.report.contents import Contents
from grism_align.io.report.quality_warnings import quality_warnings
from grism_align.io.report.settings_rows import ON_REQUEST, PIPELINE, changed_settings
from grism_align.io.report.summary import summary_of
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.failure import CorrectedLike, LentByAcquisition, PixelsFlagged
from grism_align.values.record import Activity
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from tests.io.report.test_report import NOTHING, Page, summary_and_warnings
from tests.support.governed import governed
from tests.support.reports import PLANE, changed, field, mosaic, record, refitted


def _unmoved():
    """One direct exposure, which is the frame, and its grism exposure."""
    exposures = field(n_visits=1, n_pairs=1, tied=False)
    [direct] = exposures.direct
    still = ExposureFit(FitStatus.REFERENCE, LinearTransform.identity(PLANE), "frame")
    exposures = changed(exposures, direct.key, still)
    [grism] = exposures.grisms
    carried = replace(still, status=FitStatus.ALIGNED, governed=governed(direct.key))
    return changed(exposures, grism.key, carried, "grism")


def test_one_exposure_that_stays_where_it_is():
    summary, said = summary_and_warnings(_unmoved())
    assert summary.headline.startswith("Not moved: there is one direct exposure, and no catalog")
    figures = {one.label: one for one in summary.figures}
    assert figures["Exposures moved"].value == "0 of 2"
    assert figures["Exposures moved"].note == "direct: 1 REFERENCE; grism: 1 ALIGNED"
    assert figures["Tie to the sky"].note == "as the file came"
    assert not any("corrected" in sentence for sentence in summary.sentences)
    assert said == ["Not tied to a catalog: it has the WCS that it came with"]


def test_one_exposure_that_a_catalog_does_not_fit():
    exposures = _unmoved()
    failed = [
        replace(one, outcome="failed", note="no match") if one.step == "absolute_align" else one
        for one in exposures.activities
    ]
    summary, _ = summary_and_warnings(exposures, activities=tuple(failed))
    assert "it could not be tied to a catalog" in summary.headline


def test_grism_exposures_of_an_acquisition_are_corrected():
    exposures = field()
    tree = record(exposures)
    direct, grism = exposures.direct[1].key, exposures.grisms[1].key
    flagged = (PixelsFlagged(9, 9), CorrectedLike(("i00v000dq",), 23.0))
    prior = FitStatus.PRIOR_ONLY
    tree = refitted(tree, direct, "relative", status=prior, remarks=flagged)
    tree = refitted(tree, grism, "grism", status=prior, remarks=(LentByAcquisition(direct),))
    contents = Contents(tree)
    warnings = {one.exposures: one for one in quality_warnings(contents)}
    # nothing of spectra for an exposure that has none
    assert "good_bits" in warnings[direct,].advice
    assert "spectra" not in warnings[direct,].advice
    assert "enough for extracting spectra" in warnings[grism,].advice
    said = " ".join(summary_of(contents, list(warnings.values())).sentences)
    corrected = "All 4 grism exposures are corrected, by 4 direct exposures; 1 of them as PRIOR_ONLY"
    assert corrected in said


def test_a_mosaic_of_exposures_that_nothing_aligned():
    exposures = field(n_visits=1, tied=False)
    made = Activity("visit_mosaic", "done", "i00v00-f140w")
    bare = replace(
        exposures, relative=NOTHING, absolute=NOTHING, grism=NOTHING, sources=(), activities=(made,)
    )
    tree = record(bare, mosaics=(mosaic((exposures.direct[0].key,), n_sources=3),))
    contents = Contents(tree)
    summary = summary_of(contents, quality_warnings(contents))
    assert summary.headline == "Not aligned: a mosaic was made with the WCSs that the exposures came with."
    assert summary.sentences[-1] == "1 mosaic was made: i00v00-f140w."
    page = Page(report_html(tree))
    assert "FAILED" not in page.text
    assert "not fitted" in page.text


def test_exposures_left_out_of_a_mosaic_are_named():
    exposures = field()
    contents = Contents(record(exposures, mosaics=(mosaic((exposures.direct[0].key,), n_sources=3),)))
    # not those of the other visit
    assert contents.left_out(contents.record.mosaics[0]) == [exposures.direct[1].key]


def test_steps_that_were_left_out_or_asked_for_are_told():
    assert list(GrismAlignPipeline.step_defs) == list(PIPELINE)
    exposures = field()
    spec = GrismAlignPipeline.load_spec_file()["steps"]
    assert "True" in spec[ON_REQUEST]["skip"]
    assert not any("True" in spec[step]["skip"] for step in PIPELINE if step != ON_REQUEST)

    def skips(steps):
        rows = changed_settings(Contents(record(replace(exposures, activities=tuple(steps)))))
        return {row.step: row.value for row in rows if row.name == "skip"}

    assert skips(exposures.activities) == {}
    assert skips([*exposures.activities, Activity("visit_mosaic", "done")]) == {"visit_mosaic": "False"}
    without = [one for one in exposures.activities if one.step != "absolute_align"]
    assert skips(without) == {"absolute_align": "not run"}
    # what comes later may yet be run
    assert skips(exposures.activities[:1]) == {}


def test_large_residuals_have_several_causes():
    exposures = field()
    tree = record(exposures)
    for one in exposures.direct:
        tree = refitted(tree, one.key, "absolute", reduced_chi2=4.3)
    [warning] = quality_warnings(Contents(tree))
    assert "probably there are galaxies or blends" in warning.advice
