"""What the report says is true: of odd exposures, of lone ones, of mosaics, and of steps left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grism_align.io.report import report_html
from grism_align.io.report.contents import Contents
from grism_align.io.report.quality_warnings import quality_warnings
from grism_align.io.report.settings_rows import PIPELINE, changed_settings
from grism_align.io.report.summary import summary_of
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.failure import (
    CorrectedLike,
    LentByAcquisition,
    NoCatalog,
    NoDirectExposure,
    OfDirect,
    PixelsFlagged,
    SeparateFrame,
)
from grism_align.values.record import Activity
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.tracking import Guiding, Tracking
from grism_align.values.transform import LinearTransform
from tests.io.report.test_report import NOTHING, Page, summary_and_warnings
from tests.support.governed import governed
from tests.support.reports import PLANE, altered, changed, field, mosaic, record, refitted


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
    # what is claimed, whatever it is
    assert warnings[direct,].advice.endswith("As it is, good to 1 mas (0.01 px): too little for stacking")
    assert warnings[grism,].advice.endswith("As it is, good to 1 mas (0.01 px)")
    said = " ".join(summary_of(contents, list(warnings.values())).sentences)
    corrected = (
        "All 4 grism exposures are corrected, by 4 direct exposures; 1 of them as PRIOR_ONLY, good to 1 mas"
    )
    assert corrected in said


@pytest.mark.usefixtures("plots")
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


@pytest.mark.usefixtures("everything_by_default")
def test_steps_that_were_left_out_are_told():
    assert list(GrismAlignPipeline.step_defs) == list(PIPELINE)
    exposures = field()
    spec = GrismAlignPipeline.load_spec_file()["steps"]
    assert not any("True" in spec[step]["skip"] for step in PIPELINE)

    def skips(steps):
        rows = changed_settings(Contents(record(replace(exposures, activities=tuple(steps)))))
        return {row.step: row.value for row in rows if row.name == "skip"}

    assert skips(exposures.activities) == {"visit_mosaic": "not run"}
    whole = [*exposures.activities, Activity("visit_mosaic", "done")]
    assert skips(whole) == {}
    assert skips([one for one in whole if one.step != "absolute_align"]) == {"absolute_align": "not run"}
    # what comes later may yet be run
    assert skips(exposures.activities[:1]) == {}


def test_large_residuals_have_several_causes():
    exposures = field()
    tree = record(exposures)
    for one in exposures.direct:
        tree = refitted(tree, one.key, "absolute", reduced_chi2=4.3)
    [warning] = quality_warnings(Contents(tree))
    assert "probably there are galaxies or blends" in warning.advice


def _apart(exposures, n_matched):
    """The second visit in a frame of its own."""
    exposures = replace(exposures, absolute=NOTHING, reference_catalog=None)
    for one in exposures.direct:
        fit = exposures.relative[one.key]
        frame = int(one.visit == exposures.direct[-1].visit)
        is_first = one.key in {each.key for each in exposures.direct[:: len(exposures.direct) // 2]}
        status = FitStatus.REFERENCE if is_first else FitStatus.ALIGNED
        told = (SeparateFrame(exposures.direct[0].key, (exposures.direct[-1].key,)),) * frame
        fit = replace(fit, frame=frame, n_matched=n_matched, status=status, remarks=told)
        exposures = changed(exposures, one.key, fit)
    for one in exposures.grisms:
        fit = exposures.grism[one.key]
        of_direct = (OfDirect(fit.governors[0], exposures.relative[fit.governors[0]].remarks),)
        told = of_direct if of_direct[0].remarks else ()
        exposures = changed(exposures, one.key, replace(fit, remarks=told), "grism")
    return exposures


def test_fields_that_share_nothing_are_not_aligned_with_each_other():
    summary, said = summary_and_warnings(_apart(field(tied=False), 40))
    assert summary.level == "care"
    assert summary.headline.startswith("Aligned within 2 groups that share no sources, not with a catalog")
    assert "All 4 direct exposures of 2 visits are aligned within 2 groups" in summary.sentences[0]
    assert "with each other" not in f"{summary.headline} {summary.sentences}"
    # said once, of the frames, and not of each grism exposure
    assert not any("grism" in text for text in said)


def test_exposures_that_match_no_other_are_not_called_aligned():
    summary, _ = summary_and_warnings(_apart(field(n_pairs=1, tied=False), 0))
    assert summary.headline.startswith("Not aligned: no direct exposure shares sources with another")
    assert summary.sentences[0] == "The 2 direct exposures of 2 visits share no sources."
    assert {one.label: one.value for one in summary.figures}["Exposures aligned"] == "0 of 4"


def test_visits_of_grism_exposures_alone_are_not_counted_with_the_direct_ones():
    exposures = field(tied=False)
    gone = {one.key for one in exposures.direct[2:]}
    left = tuple(one for one in exposures.exposures if one.key not in gone)
    relative = {key: fit for key, fit in exposures.relative.fits.items() if key not in gone}
    failed = ExposureFit.failed(NoDirectExposure("i01v01"))
    grism = {k: failed if k.startswith("i01") else f for k, f in exposures.grism.fits.items()}
    exposures = replace(
        exposures, exposures=left, relative=AlignmentSolution(relative), grism=AlignmentSolution(grism)
    )
    summary, said = summary_and_warnings(exposures)
    assert summary.sentences[0].startswith("Both direct exposures of 1 visit are aligned with each other")
    assert said[0].startswith("i01v010gq, i01v011gq keep their WCSs, each: no direct exposure in its")


def test_no_grism_exposure_is_no_success():
    exposures = field()
    for one in exposures.grisms:
        exposures = changed(exposures, one.key, ExposureFit.failed(NoDirectExposure("g")), "grism")
    summary, _ = summary_and_warnings(exposures)
    assert (summary.level, summary.headline) == (
        "bad",
        "Not aligned: no grism exposure has a correction to rely on.",
    )


def test_a_service_that_is_down_is_no_fault_of_direct_exposures():
    exposures = field(tied=False)
    down = NoCatalog(("GAIADR3 unreachable",))
    for one in exposures.direct:
        exposures = changed(exposures, one.key, replace(exposures.relative[one.key], remarks=(down,)))
    for one in exposures.grisms:
        fit = exposures.grism[one.key]
        told = (OfDirect(fit.governors[0], (down,)),)
        exposures = changed(exposures, one.key, replace(fit, remarks=told), "grism")
    note = "no reference catalog: GAIADR3: Name or service not known. Try later."
    failed = [
        replace(one, outcome="failed", note=note) if one.step == "absolute_align" else one
        for one in exposures.activities
    ]
    tree = record(replace(exposures, activities=tuple(failed)))
    [warning] = [one for one in quality_warnings(Contents(tree)) if one.is_problem]
    assert warning.text == f"absolute_align changed nothing: {note[:-1]}"
    assert "direct exposure" not in warning.advice


def test_names_in_lists_stay_names():
    exposures = field()
    [first, second, *_] = exposures.direct
    key = exposures.grisms[0].key
    like = OfDirect(first.key, (CorrectedLike((first.key, second.key), 23.0),))
    tree = refitted(record(exposures), key, "grism", remarks=(like,))
    [warning] = quality_warnings(Contents(tree))
    assert f"(the direct exposure: corrected like {first.key}, {second.key}, error 23 mas)" in warning.text


def test_distortion_models_that_differ_are_told():
    exposures = field()
    tree = record(exposures)
    for one in exposures.exposures:
        name = "IDC_b" if one is exposures.direct[0] else "IDC_a"
        wcs = replace(tree.exposures[one.key].input_wcs, distortion=name)
        tree = altered(tree, one.key, input_wcs=wcs)
    [warning] = quality_warnings(Contents(tree))
    assert warning.text.endswith("different distortion models: IDC_a (7), IDC_b (1)")
    assert warning.is_problem


def test_what_headers_say_of_several_exposures_is_one_warning():
    made = record(field(n_visits=2))
    first, second, third, *_ = [key for key, each in made.exposures.items() if each.kind.value == "direct"]
    said = {
        first: Tracking(Guiding.GYROS),
        second: Tracking(Guiding.GYROS),
        third: Tracking(flags=("EXPFLAG = 'INDETERMINATE'",)),
    }
    for key, tracking in said.items():
        made = altered(made, key, tracking=tracking)
    [one] = [each for each in quality_warnings(Contents(made)) if "the headers" in each.text.lower()]
    assert set(one.exposures) == set(said)
    assert one.text.count("guided on gyros") == 1
    assert "EXPFLAG" in one.text
