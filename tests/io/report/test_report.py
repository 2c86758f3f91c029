"""The report: sections, numbers, escaping, what is missing; and the page in a browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from grism_align.io.record.file import write_record
from grism_align.io.report import report_html, report_path, rows, write, write_report
from grism_align.io.report.contents import USER, Contents
from grism_align.io.report.formatting import UNKNOWN, count, fixed, listed, probability, value_range
from grism_align.io.report.plots import residual_plots, sky_plots, time_plots
from grism_align.io.report.quality_warnings import quality_warnings
from grism_align.io.report.settings_rows import changed_settings
from grism_align.io.report.spectra import spectra_of
from grism_align.io.report.summary import summary_of
from grism_align.values.errors import InputError, OutputError
from grism_align.values.failure import (
    NotTied,
    OtherOrbit,
    SpectraOff,
    TooFewMatches,
    TooFewSources,
    Trailed,
    Unguided,
)
from grism_align.values.record import Activity
from grism_align.values.settings import ServiceSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Governed
from grism_align.values.trace import SpectralCheck, SpectrumPiece, TraceCheck
from grism_align.values.transform import LinearTransform, TangentPlane
from grism_align.workflows.user_shifts import REFERENCE
from tests.support.browser import browse, needs_chromium
from tests.support.plots import have_plots
from tests.support.reports import (
    ODD,
    PLANE,
    altered,
    changed,
    field,
    mosaic,
    record,
    refitted,
    stamps,
    transform,
)
from tests.support.residuals import star_residuals

VOID = {"meta", "link", "img", "input", "br"}
SECTIONS = ["summary", "exposures", "residuals", "sky", "time", "catalog", "cuts", "settings", "software"]


class Page(HTMLParser):
    """What a page has: elements that are nested as they should be, their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def ids(self):
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


@pytest.fixture(scope="module")
def whole():
    """A run with everything on record."""
    exposures = field()
    found = record(exposures, stamps=stamps())
    for one in exposures.grisms:
        check = TraceCheck(9, 0.61, 0.03, 0.02, 0.03, f"of {one.key}")
        piece = SpectrumPiece(7, np.arange(24.0), np.ones(24), np.arange(-4.0, 5), np.full(9, 0.1))
        offsets = (0.412, -0.257), (0.031, 0.022), (0.004, -0.001), (0.005, 0.002)
        against = SpectralCheck(21, *offsets, pieces=(piece,))
        found = altered(found, one.key, traces=check, spectra=against)
    return found


@pytest.fixture(scope="module")
def html(whole):
    """The page as users have it; others are made without plots, unless a test asks for them."""
    with pytest.MonkeyPatch.context() as patch:
        have_plots(patch)
        return report_html(whole)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_every_section_is_there_and_links_lead_somewhere(page):
    assert [one for one in page.ids if one in SECTIONS] == SECTIONS
    assert {"blink", "spectra"} <= set(page.ids)
    links = [one["href"][1:] for one in page.all("a")]
    assert links
    assert set(links) <= set(page.ids)


def test_names_of_elements_are_unique(page):
    assert len(page.ids) == len(set(page.ids))


def test_svg_refers_only_to_what_is_in_it(html, page):
    found = set(re.findall(r"url\(#([^)]+)\)", html)) | set(re.findall(r'xlink:href="#([^"]+)"', html))
    assert found
    assert found <= set(page.ids)


def test_images_have_a_size_and_a_text(page):
    images, drawings = page.all("img"), page.all("svg")
    assert len(images) == 2 * 4
    assert all(one["alt"] and int(one["width"]) > 0 and int(one["height"]) > 0 for one in images)
    assert all(one["src"].startswith("data:image/png;base64,") for one in images)
    # 4 exposures, the catalog, both against each other and time, the scatter and its mean, the sky, 2 visits,
    # spectra, traces, a piece
    assert len(drawings) == 4 + 1 + 2 * 2 + 2 + 1 + 2 + 2 + 1
    assert all(one["aria-label"] and one["role"] == "img" for one in drawings)
    assert all(int(one["width"]) > 0 and int(one["height"]) > 0 for one in drawings)


def test_the_page_asks_for_nothing(page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "data", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
    assert "url(http" not in page.text


def test_plots_have_the_colours_of_the_page(html):
    assert "var(--ink)" in html
    body = html[html.index("</style>") :]
    assert not re.findall(r"#[0-9a-f]{6}", body)
    style = html[html.index("<style>") : html.index("</style>")]
    for name in set(re.findall(r"var\(--(\w+)\)", html)):
        # light, dark and on paper
        assert len(re.findall(rf"--{name}: #", style)) == 3, name


def test_the_summary_has_the_numbers(whole):
    contents = Contents(whole)
    summary = summary_of(contents, quality_warnings(contents))
    assert summary.level == "good"
    said = " ".join(summary.sentences)
    assert "All 4 direct exposures of 2 visits are aligned with each other: 40 matched sources" in said
    assert "tied to the catalog MADE by 11 of 12 matched stars, rms 2.1 mas an axis" in said
    assert "(error of a source: median 2.0 mas, least 2.0, reduced χ² 1.20)" in said
    assert "All 4 grism exposures are corrected, by 4 direct exposures" in said
    figures = {one.label: one for one in summary.figures}
    assert figures["Exposures aligned"].value == "8 of 8"
    assert "direct: 4 ALIGNED; grism: 4 ALIGNED" in figures["Exposures aligned"].note
    # the relative and the absolute one of 0.9 mas each
    # and what spectra are extracted from comes first
    assert figures["Claimed error"].value == f"0.010 px, {0.9 * 2**0.5:.1f}\xa0mas"
    assert figures["Claimed error"].note.startswith("worst grism exposure, one axis, on the sky")
    assert figures["Claimed error"].note.endswith("direct: median 1.3 mas, worst 1.3")
    assert figures["False match"].value == "1e-20"


def test_a_relative_run_says_that_it_is_not_on_the_sky():
    contents = Contents(record(field(tied=False)))
    warnings = quality_warnings(contents)
    summary = summary_of(contents, warnings)
    assert summary.level == "good"
    done = "Aligned with each other, not with a catalog"
    assert summary.headline == f"{done}, grism exposures to 0.007 px; no warnings."
    assert [one.text for one in warnings] == ["Not tied to a catalog: the alignment is relative"]
    page = Page(report_html(contents.record))
    assert "None: no catalog given." in page.text


def _failed(exposures, key, remark):
    fit = ExposureFit.failed(remark)
    kept = {name: one for name, one in exposures.absolute.fits.items() if name != key}
    return replace(changed(exposures, key, fit), absolute=replace(exposures.absolute, fits=kept))


def test_failures_are_said_first_with_what_to_do():
    exposures = field()
    first, second = (one for one in exposures.direct[1:3])
    whole = record(_failed(exposures, first.key, Trailed(20, 0.31, 0.15)))
    remarks = (TooFewSources(4, 36, 6),)
    whole = refitted(whole, second.key, "relative", status=FitStatus.PRIOR_ONLY, remarks=remarks)
    contents = Contents(whole)
    warnings = quality_warnings(contents)
    assert f"{first.key} keeps its WCS: trailed" in warnings[0].text
    assert "Leave it out" in warnings[0].advice
    assert warnings[0].exposures == (first.key,)
    assert f"{second.key} PRIOR_ONLY" in warnings[1].text
    summary = summary_of(contents, warnings)
    assert summary.level == "care"
    assert "1 exposure did not get a correction" in summary.headline
    assert "direct: 2 ALIGNED, 1 PRIOR_ONLY, 1 FAILED" in summary.figures[0].note
    page = Page(report_html(whole))
    assert page.text.index("keeps its WCS") < page.text.index("what to know")


@pytest.mark.usefixtures("plots")
def test_a_run_in_which_all_failed():
    exposures = field(n_visits=1)
    lost = {one.key: ExposureFit.failed(TooFewSources(0, 3, 6)) for one in exposures.exposures}
    exposures = replace(
        exposures,
        relative=replace(exposures.relative, fits={one.key: lost[one.key] for one in exposures.direct}),
        absolute=replace(exposures.absolute, fits={}),
        grism=replace(exposures.grism, fits={one.key: lost[one.key] for one in exposures.grisms}),
        sources=(),
        reference_catalog=None,
    )
    contents = Contents(record(exposures))
    summary = summary_of(contents, quality_warnings(contents))
    assert summary.level == "bad"
    assert summary.figures[-1].value == UNKNOWN
    page = Page(report_html(contents.record))
    assert not {"residuals", "time"} & set(page.ids)
    # where they are by the WCSs that they keep
    assert "sky" in page.ids


def test_warnings_of_weak_ties_and_odd_exposures():
    exposures = field(n_pairs=3)
    whole = record(exposures)
    # four stars with 10 % of the weight each
    few = star_residuals(np.sqrt([1 / 6, 1.0, 1.0, 1.0, 1.0]))
    weak = {"residuals": few, "reduced_chi2": 9.0, "false_match_probability": 1e-5}
    for one in exposures.direct:
        whole = refitted(whole, one.key, "absolute", **weak)
    direct, grism = exposures.direct[1].key, exposures.grisms[0].key
    moved = replace(exposures.relative[direct].transform, shift=[9.3, -0.2])
    whole = refitted(whole, direct, "relative", transform=moved, false_match_probability=1e-5)
    whole = altered(whole, direct, wcs_solution="IDC_other", output=None, applied=moved)
    whole = refitted(whole, grism, "grism", remarks=(OtherOrbit(direct),))
    whole = altered(whole, grism, traces=TraceCheck(9, 1.0, 0.1, 0.5, 0.05))
    said = " | ".join(one.text for one in quality_warnings(Contents(whole)))
    for words in (
        "rests on 5 stars",
        "has 60 % of its weight on one star",
        "residuals 3.0 times",
        "may be by chance: false-match probability 1e-05",
        f"{direct} may be matched by chance",
        "from the others of its acquisition",
        "1 direct exposure moved by more than 5″ (up to 9.6″)",
        "with a correction, but no file written",
        "WCSs of different solutions",
        "had an earlier correction",
        "1 grism exposure corrected with reservations: ",
        f"Traces of 1 grism exposure lie off across the dispersion: {grism} by +0.50 px",
    ):
        assert words in said


def test_frames_that_are_not_tied():
    exposures = field()
    lone = exposures.direct[-1].key
    fits = {key: fit for key, fit in exposures.absolute.fits.items() if key != lone}
    fits[lone] = ExposureFit.failed(NotTied("MADE", (TooFewMatches(2, 4),)), reference="MADE")
    exposures = replace(exposures, absolute=replace(exposures.absolute, fits=fits))
    exposures = changed(exposures, lone, replace(exposures.relative[lone], frame=1))
    contents = Contents(record(exposures))
    texts = [warning.text for warning in quality_warnings(contents)]
    assert "2 groups of exposures share no sources, 1 of them not on a catalog" in texts
    assert (
        "1 exposure aligned, but not tied to the catalog: not tied to MADE: 2 matched sources, 4 required"
        in texts
    )
    assert contents.frames == [0, 1]


def test_steps_that_failed_are_said():
    exposures = field(tied=False)
    done = [
        replace(one, outcome="failed", note="GAIADR3 unreachable") if one.step == "absolute_align" else one
        for one in exposures.activities
    ]
    done[0] = replace(done[0], note="two exposures are short")
    contents = Contents(record(replace(exposures, activities=tuple(done))))
    texts = {warning.text: warning for warning in quality_warnings(contents)}
    assert texts["absolute_align changed nothing: GAIADR3 unreachable"].is_problem
    assert not texts["source_catalog says: two exposures are short"].is_problem


@pytest.mark.usefixtures("plots")
def test_odd_names_are_shown_and_do_nothing():
    exposures = field(odd_name=True, n_visits=1)
    page = Page(report_html(record(exposures)))
    assert f"{ODD}: alignment report" in page.text
    assert page.text.count(ODD) > 4
    assert page.all("b") == []
    assert any(ODD in (one["aria-label"] or "") for one in page.all("svg"))


def test_the_table_has_what_it_is_sorted_by(whole, page):
    rows = whole.exposures
    cells = [one for one in page.all("td") if "data-sort" in one]
    assert len(cells) == 13 * len(rows)
    buttons = page.all("button")
    assert len(buttons) == 14


def test_weights_of_interpolated_corrections_are_shown():
    exposures = field()
    both = Governed(("one", "two"), "interpolated", (0.25, 0.75), (-90.0, 90.0), 1.0)
    whole = refitted(record(exposures), exposures.grisms[0].key, "grism", governed=both)
    assert "one\N{NO-BREAK SPACE}(0.25), two\N{NO-BREAK SPACE}(0.75)" in Page(report_html(whole)).text


def test_settings_that_differ_with_who_set_them():
    rows = {(row.step, row.name): row for row in changed_settings(Contents(record(field())))}
    assert rows["source_catalog", "threshold"].value == "7.5"
    assert rows["source_catalog", "threshold"].origin == "user"
    # the absolute step has a default of its own
    assert rows["absolute_align", "min_matches"].default == "4"
    assert ("absolute_align", "max_ruwe") not in rows
    assert rows["absolute_align", "catalog"].default == "none"


def test_lists_are_no_other_settings_for_being_lists():
    given = {"auto_order": list(ServiceSettings().auto_order), "trace_config": ["a.conf", "b.conf"]}
    steps = (
        Activity("absolute_align", "done", settings={"auto_order": given["auto_order"]}),
        Activity("grism_wcs_propagate", "done", settings={"trace_config": given["trace_config"]}),
    )
    rows = changed_settings(Contents(record(replace(field(), activities=steps))))
    [row] = [row for row in rows if row.name != "skip"]
    assert (row.name, row.value, row.default) == ("trace_config", "a.conf, b.conf", "none")


def test_settings_of_the_instruments_file_are_told():
    exposures = field()
    catalog = replace(exposures.activities[0], settings={"saturation_bits": 256, "good_bits": 8768})
    tree = record(replace(exposures, activities=(catalog,)))
    rows = changed_settings(Contents(tree))
    origins = {row.name: row.origin for row in rows}
    assert set(origins.values()) <= {"instrument's parameter file"}


@pytest.mark.usefixtures("plots")
def test_many_exposures_are_summarised(monkeypatch):
    for module in (residual_plots, write):
        monkeypatch.setattr(module, "MOST_PANELS", 5)
    monkeypatch.setattr(residual_plots, "WORST_PANELS", 3)
    exposures = field(n_visits=3, n_pairs=2)
    whole, worst = record(exposures), [one.key for one in exposures.direct][1:4]
    for rms, key in enumerate(worst):
        whole = refitted(whole, key, "relative", rms=9.0 + rms)
    page = Page(report_html(whole))
    assert "Of 6 direct exposures, the 3 with the largest rms" in page.text
    shown = [one["aria-label"] for one in page.all("svg") if one["aria-label"].startswith("Residuals of i")]
    assert [label.split()[2].strip(":") for label in shown] == worst[::-1]
    # those, the catalog, both against each other and time, the scatter and its mean, the sky, 3 visits
    assert len(page.all("svg")) == 3 + 1 + 2 * 2 + 2 + 1 + 3


@pytest.mark.usefixtures("plots")
@pytest.mark.slow
def test_thirty_visits_are_no_large_page():
    html = report_html(record(field(n_visits=30), stamps=stamps()))
    assert len(html) < 5e6
    assert html.count('<th scope="row" data-sort="i') == 120


@pytest.fixture(scope="module")
def paged():
    """A page of more exposures than are shown at once, of which one failed and one has its prior only."""
    with pytest.MonkeyPatch.context() as patch:
        have_plots(patch)
        for module, limits in (
            (rows, {"MOST_ROWS": 20, "PAGE": 10}),
            (time_plots, {"MOST_VISITS": 3, "_WORST_VISITS": 2}),
            (sky_plots, {"_MANY": 20}),
            (residual_plots, {"_MANY": 10}),
        ):
            for name, value in limits.items():
                patch.setattr(module, name, value)
        patch.setattr(write, "MOST_VISITS", 3)
        exposures = field(n_visits=6)
        failed, prior = exposures.direct[8].key, exposures.direct[5].key
        whole = record(_failed(exposures, failed, Trailed(20, 0.31, 0.15)))
        html = report_html(refitted(whole, prior, "relative", status=FitStatus.PRIOR_ONLY))
    return failed, prior, html


def test_many_exposures_are_paged_with_problems_first(paged):
    failed, prior, html = paged
    shown = re.findall(r'<th scope="row" data-sort="(i\w+)">', html)
    assert len(shown) == 10
    assert shown[:2] == [failed, prior]
    told = json.loads(re.search(r'id="rows">(.*?)</script>', html)[1])
    assert [row[1] for row in told["rows"]][:10] == shown
    assert len(told["rows"]) == 24
    assert all(len(row) == 1 + len(told["kinds"]) for row in told["rows"])
    page = Page(html)
    assert "24 exposures in pages of 10, those with problems first" in page.text
    assert "Of 6 visits, the 2 whose exposures differ most, those with failures first" in page.text
    assert "in pages of" not in Page(report_html(record(field(n_visits=5)))).text


_PAGED_PROBE = """
<script>
addEventListener("load", () => {
  const names = () => [...document.querySelectorAll("#exposures tbody th")].map((one) => one.innerText);
  const place = () => document.getElementById("place").innerText;
  const [back, on, find] = ["back", "on", "find"].map((id) => document.getElementById(id));
  const body = document.querySelector("#exposures tbody");
  const looks = () => [...body.querySelectorAll("*")].map((one) => [one.innerText, one.className].join());
  const before = looks();
  const seen = [[names(), place(), back.disabled, on.disabled]];
  on.click(); on.click(); seen.push([names(), place(), back.disabled, on.disabled]);
  back.click(); back.click();
  const same = looks().join("|") === before.join("|");
  document.querySelector("#exposures thead button").click(); seen.push([names(), place(), same]);
  find.value = "grism i03"; find.value = "g141 I03V"; find.dispatchEvent(new Event("input"));
  seen.push([names(), place()]);
  const out = document.createElement("pre");
  out.id = "seen"; out.textContent = JSON.stringify(seen);
  document.body.append(out);
});
</script>
"""


@needs_chromium
def test_pages_are_turned_sorted_and_searched(tmp_path, paged):
    *_, html = paged
    path = tmp_path / "probed.html"
    path.write_text(html.replace("</body>", _PAGED_PROBE + "</body>"), encoding="utf-8")
    found = browse(tmp_path, "--dump-dom", path.as_uri())
    assert "CONSOLE" not in found.stderr
    told = re.search(r'<pre id="seen">(.*?)</pre>', found.stdout, re.DOTALL)[1]
    first, last, by_name, matching = json.loads(told.replace("&lt;", "<").replace("&gt;", ">"))
    assert first[1:] == ["1 to 10 of 24", True, False]
    assert last[1:] == ["21 to 24 of 24", False, True]
    assert not set(first[0]) & set(last[0])
    # what the script makes is what the page came with
    assert by_name[0] == sorted(by_name[0])
    assert by_name[1:] == ["1 to 10 of 24", True]
    assert len(matching[0]) == 2
    assert all(name.startswith("i03v") for name in matching[0])


def test_blink_says_what_it_shows(page):
    texts = [one["alt"] for one in page.all("img")]
    assert texts[0].startswith("All stars, stacked by the WCSs before: off by 325 mas")
    assert texts[1] == "All stars, stacked by the corrected WCSs: off by 0 mas"
    assert "E +1.60″, N 0.00″".replace(" 0.00", " +0.00") in page.text


@pytest.mark.usefixtures("plots")
def test_report_of_a_file_lies_beside_it(tmp_path):
    exposures = field(n_visits=1, n_pairs=1)
    source = tmp_path / "field_provenance.asdf"
    write_record(source, record(exposures))
    made = write_report(source)
    assert made == report_path(source) == tmp_path / "field_report.html"
    first = made.read_text(encoding="utf-8")
    assert "<h1>field</h1>" in first
    # again, elsewhere, the same
    assert write_report(str(source), tmp_path / "again.html").read_text(encoding="utf-8") == first


def test_report_that_cannot_be_made(tmp_path):
    with pytest.raises(InputError):
        write_report(tmp_path / "none_provenance.asdf")
    tree = record(field(n_visits=1, n_pairs=1))
    with pytest.raises(ValueError, match="destination"):
        write_report(tree)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_report(tree, tmp_path / "file" / "report.html")


def test_words():
    assert count(1, "visit") == "1 visit"
    assert count(2, "match", "matches") == "2 matches"
    assert fixed(-0.001, 1) == "0.0"
    assert fixed(float("inf")) == UNKNOWN
    assert value_range([1.0, float("nan"), 3.0]) == "1.0 to 3.0"
    assert value_range([2.0, 2.01]) == "2.0"
    assert value_range([float("nan")]) == UNKNOWN
    assert probability(1e-120) == "< 1e-99"
    assert probability(0.5) == "0.50"
    assert listed(list("abcdefghi")) == "a, b, c, d, e, f and 3 more"
    assert listed(list("abcdefg")) == "a, b, c, d, e, f, g"


@pytest.mark.usefixtures("plots")
def test_matplotlib_is_as_before():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    report_html(record(field(n_visits=1, n_pairs=1)))
    assert dict(mpl.rcParams) == before


def test_statuses_are_told_by_more_than_colour():
    exposures = field()
    tree = record(_failed(exposures, exposures.direct[1].key, Trailed(20, 0.31, 0.15)))
    tree = refitted(tree, exposures.direct[2].key, "relative", status=FitStatus.PRIOR_ONLY)
    html = report_html(tree)
    for status in ("FAILED", "PRIOR_ONLY", "ALIGNED"):
        assert f'<span class="status {status.lower()}">{status}</span>' in html


_PROBE = """
<script>
addEventListener("load", () => {
  const rows = () => [...document.querySelectorAll("#exposures tbody tr")];
  const column = (n) => rows().map((row) => row.cells[n].innerText);
  const heads = [...document.querySelectorAll("#exposures thead button")];
  const names = column(0);
  heads[3].click(); const east = column(3);
  heads[3].click(); const west = column(3);
  const box = (one) => { const b = one.getBoundingClientRect(); return b.width > 0 && b.height > 0; };
  const seen = {
    names, east, west, sorted: heads[3].parentElement.ariaSort,
    requests: performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !/^data:/.test(n)),
    images: [...document.images].map((i) => i.complete && i.naturalWidth > 0 && i.alt !== "" && box(i)),
    drawings: [...document.querySelectorAll("svg")].map(box),
    wider: document.documentElement.scrollWidth - innerWidth,
    ink: getComputedStyle(document.querySelector("svg text")).fill,
    page: getComputedStyle(document.body).backgroundColor,
  };
  const out = document.createElement("pre");
  out.id = "seen"; out.textContent = JSON.stringify(seen);
  document.body.append(out);
});
</script>
"""


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_in_a_browser(tmp_path, html, scheme):
    path = tmp_path / "probed.html"
    path.write_text(html.replace("</body>", _PROBE + "</body>"), encoding="utf-8")
    dark = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    found = browse(tmp_path, "--window-size=500,900", dark, "--dump-dom", path.as_uri())
    assert "CONSOLE" not in found.stderr
    text = re.search(r'<pre id="seen">(.*?)</pre>', found.stdout, re.DOTALL)
    seen = json.loads(text[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert seen["requests"] == []
    assert all(seen["images"])
    assert len(seen["images"]) == 8
    assert all(seen["drawings"])
    assert seen["wider"] <= 0
    east = [float(value) for value in seen["east"]]
    assert east == sorted(east)
    assert [float(value) for value in seen["west"]] == sorted(east, reverse=True)
    assert seen["sorted"] == "descending"
    assert seen["names"] == sorted(seen["names"])
    ink, background = (np.array(re.findall(r"\d+", seen[name])[:3], dtype=float) for name in ("ink", "page"))
    assert abs(ink.mean() - background.mean()) > 150
    assert (background.mean() < 100) == (scheme == "dark")


@needs_chromium
def test_page_on_paper(tmp_path, html):
    page, paper = tmp_path / "report.html", tmp_path / "report.pdf"
    page.write_text(html, encoding="utf-8")
    browse(tmp_path, f"--print-to-pdf={paper}", page.as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF-")
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", content)) < 20


def test_shift_of_a_grism_exposure_is_that_at_its_own_place():
    exposures = field()
    tree = record(exposures)
    one = exposures.grisms[-1]
    there = one.plane.to_sky([30.0, 0.0])
    tree = altered(tree, one.key, plane=TangentPlane(*there.tolist()))
    entry = next(entry for entry in Contents(tree).entries if entry.key == one.key)
    before = exposures.total[one.key].transform.at(one.plane)
    # turned by the roll, a place 30" to the east moves south
    assert entry.shift[1] == pytest.approx(1e3 * (before.shift[1] + before.matrix[1, 0] * 30.0), abs=0.05)
    assert entry.shift[1] < 1e3 * before.shift[1] - 5


@pytest.mark.usefixtures("plots")
def test_traces_that_could_not_be_measured():
    exposures = field(n_visits=1, n_pairs=1)
    key = exposures.grisms[0].key
    tree = altered(record(exposures), key, traces=TraceCheck.missing("no trace bright enough"))
    page = Page(report_html(tree))
    assert "no trace bright enough" in page.text
    assert not any("dispersion" in one["aria-label"] for one in page.all("svg"))
    assert quality_warnings(Contents(tree)) == []


def summary_and_warnings(exposures, **changes):
    tree = record(replace(exposures, **changes))
    contents = Contents(tree)
    warnings = quality_warnings(contents)
    with pytest.MonkeyPatch.context() as patch:
        have_plots(patch)
        assert next(one for one in Page(report_html(tree)).ids if one in SECTIONS) == "summary"
    return summary_of(contents, warnings), [one.text for one in warnings]


NOTHING = AlignmentSolution()


def test_corrections_of_a_table_are_not_called_aligned():
    assert USER == REFERENCE
    exposures = field(n_visits=1)
    first = exposures.direct[0]
    own = ExposureFit(
        FitStatus.ALIGNED, transform(first.plane, 300.0, 0.0), REFERENCE, given_by="row of i00v00"
    )
    still = ExposureFit(FitStatus.REFERENCE, LinearTransform.identity(PLANE), "the WCS of the file")
    note = "corrections of mine.csv"
    summary, said = summary_and_warnings(
        exposures,
        relative=AlignmentSolution({first.key: still}, "the WCS of the file"),
        absolute=AlignmentSolution({first.key: own}, REFERENCE),
        grism=NOTHING,
        reference_catalog=None,
        activities=(Activity("shift", "done", note),),
    )
    assert (summary.level, summary.headline) == (
        "plain",
        "Moved as you said, nothing was measured; no warnings.",
    )
    assert summary.sentences == ("1 of 4 exposures have a correction from your table.",)
    assert said[0].startswith("3 exposures not in your table, and as before: ")
    assert said[1] == "No alignment: corrections of mine.csv"
    assert summary.figures[1].value == "none"


def test_sources_alone_are_no_failure():
    exposures = field(n_visits=1)
    summary, said = summary_and_warnings(
        exposures,
        relative=NOTHING,
        absolute=NOTHING,
        grism=NOTHING,
        sources=(),
        reference_catalog=None,
        activities=exposures.activities[:1],
    )
    assert (summary.level, summary.headline) == ("plain", "Not aligned yet: the sources are measured.")
    assert summary.sentences == ("There are 2 direct and 2 grism exposures of 1 visit.",)
    assert said == ["4 exposures not fitted by any step yet"]


@pytest.mark.parametrize("tied", [True, False])
def test_one_direct_exposure(tied):
    summary, said = summary_and_warnings(field(n_visits=1, n_pairs=1, tied=tied))
    assert summary.level == ("good" if tied else "plain")
    start = "Aligned with the sky" if tied else "Not aligned: there is one direct exposure"
    assert summary.headline.startswith(start)
    assert summary.sentences[0].startswith(
        "It is tied to the catalog MADE by 11" if tied else "It is not tied to a catalog"
    )
    assert not any("relative_align" in text for text in said)


def test_corrections_of_a_record_name_it():
    exposures = field(n_visits=1)
    applied = Activity("apply", "done", "corrections applied from old_provenance.asdf")
    summary, said = summary_and_warnings(exposures, activities=(*exposures.activities, applied))
    assert summary.level == "good"
    assert "No new alignment: corrections applied from old_provenance.asdf" in said


def test_what_mosaics_were_made_is_no_warning():
    exposures = field(n_visits=1)
    made = Activity("visit_mosaic", "done", "i00v00-f140w", counts={"mosaics": 1, "sources": 12})
    _, said = summary_and_warnings(exposures, activities=(*exposures.activities, made))
    assert not any("mosaic" in text for text in said)
    files = {"i00v00-f140w_drz_wht.fits": "0" * 64, "i00v00-f140w_drz_sci.fits": "0" * 64}
    names = tuple(one.key for one in exposures.direct)
    page = Page(report_html(record(exposures, mosaics=(mosaic(names, files=files),))))
    assert "mosaics" in page.ids
    assert "3080 \N{MULTIPLICATION SIGN} 2951" in page.text
    assert "i00v00-f140w_drz_sci.fits, i00v00-f140w_drz_wht.fits" in page.text


@pytest.mark.parametrize(
    ("error", "level", "is_told"), [(9.0, "good", False), (20.0, "good", True), (38.0, "care", True)]
)
def test_a_displaced_grism_exposure_is_not_green(error, level, is_told):
    """Of pixels of 130 mas."""
    exposures = field()
    key = exposures.grisms[2].key
    fit = exposures.grism[key]
    covariance = np.diag([1e-3 * error, 1e-3 * error, 0, 0, 0, 0]) ** 2
    far = replace(fit.transform, covariance=covariance)
    governed = replace(fit.governed, propagation_error=error)
    tree = refitted(record(exposures), key, "grism", transform=far, governed=governed)
    contents = Contents(tree)
    warnings = quality_warnings(contents)
    summary = summary_of(contents, warnings)
    assert summary.level == level
    figures = {one.label: one for one in summary.figures}
    assert figures["Claimed error"].value == f"{error / 130:.2f} px, {error:.1f}\xa0mas"
    assert f"grism exposures to {error / 130:.2f} px" in summary.headline
    assert ("no warnings" in summary.headline) != is_told
    assert [one.exposures for one in warnings] == [(key,)] * is_told
    if is_told:
        assert warnings[0].text.startswith(f"1 grism exposure good to {error:.0f} mas ({error / 130:.2f} px)")
        assert f"add up to {error:.0f} mas" in warnings[0].text
        assert "traces" in warnings[0].advice
    assert ('class="status aligned uncertain"' in report_html(tree)) == (level == "care")


def test_verified_traces_are_in_the_summary_and_warnings(whole):
    contents = Contents(whole)
    spectra, traces = summary_of(contents, quality_warnings(contents)).sentences[-2:]
    assert "4 grism exposures" in spectra
    assert "0.41 px along" in spectra
    assert "0.26 px across" in spectra
    assert "4 grism exposures" in traces
    assert "0.02 px across" in traces


@pytest.mark.parametrize(("after", "n"), [(0.3, 1), (0.05, 0)])
def test_traces_that_lie_off_are_told_once(whole, after, n):
    grism = next(key for key, one in whole.exposures.items() if not one.is_direct)
    tree = refitted(whole, grism, "grism", remarks=(SpectraOff(after, 0.01, "", 3),))
    tree = altered(tree, grism, traces=TraceCheck(9, 0.6, 0.01, after, 0.01))
    told = [one.text for one in quality_warnings(Contents(tree)) if grism in one.exposures]
    assert sum(text.startswith("Traces of 1 grism exposure") for text in told) == n
    assert sum("spectra lie off" in text for text in told) == 1 - n


def test_what_spectra_did_is_in_a_table_with_its_errors(whole, page):
    [row, *_] = spectra_of(Contents(whole)).rows
    grism = next(key for key, one in whole.exposures.items() if not one.is_direct)
    moved, left = ("+0.412 ± 0.031", "-0.257 ± 0.022"), ("+0.004 ± 0.005", "-0.001 ± 0.002")
    assert row == (grism, "21", *moved, *left, "+0.610 ± 0.030", "+0.020 ± 0.030", f"of {grism}")
    assert all(text in page.text for text in row)


@pytest.mark.usefixtures("plots")
def test_spectra_that_could_not_be_measured_are_told_with_the_reason():
    exposures = field(n_visits=1, n_pairs=1)
    key = exposures.grisms[0].key
    tree = altered(record(exposures), key, spectra=SpectralCheck.missing("of another field"))
    page = Page(report_html(tree))
    assert "of another field" in page.text
    assert not any("dispersion" in one["aria-label"] for one in page.all("svg"))


@pytest.mark.usefixtures("plots")
def test_exposures_with_stars_of_their_own_are_one_tie():
    """As the joint solution leaves them: each has its matches, and a star counts once."""
    exposures = field(n_visits=1, n_pairs=3)
    fits = {}
    for number, (key, fit) in enumerate(exposures.absolute.fits.items()):
        rows = np.arange(12) >= 4 * number
        mine = fit.residuals
        columns = {name: getattr(mine, name)[rows] for name in ("source", "matched", "offset", "weight")}
        own = replace(mine, **columns, error=np.where(rows, 2.0, 2.0)[rows])
        fits[key] = replace(fit, residuals=own, n_matched=int(rows.sum()))
    tree = record(replace(exposures, absolute=replace(exposures.absolute, fits=fits)))
    contents = Contents(tree)
    [tie] = contents.ties
    assert (tie.n_exposures, tie.n_matched, tie.n_used) == (3, 12, 11)
    # weights of 11, 7 and 3 of the stars; those that all three saw have the largest share, one seventh
    assert tie.leverage == pytest.approx(3 / 21)
    said = " ".join(summary_of(contents, []).sentences)
    assert "They are tied to the catalog MADE by 11 of 12 matched stars" in said
    labels = [one["aria-label"] for one in Page(report_html(tree)).all("svg")]
    assert sum(label.startswith("Residuals of 3 exposures together: 11 vectors") for label in labels) == 1
    # in both frames
    assert sum(label.startswith(f"Residuals of {exposures.direct[0].key}") for label in labels) == 2


@pytest.mark.parametrize(("solve", "number"), [("joint", 1), ("visit", 2), ("exposure", 4)])
def test_parts_that_were_tied_by_themselves(solve, number):
    exposures = field()
    done = Activity("absolute_align", "done", settings={"solve": solve})
    contents = Contents(record(exposures.with_activity(done)))
    assert len(contents.ties) == number
    assert sum(tie.n_exposures for tie in contents.ties) == 4


def test_reservations_are_told_once_for_all_that_have_them():
    exposures = field(n_visits=1)
    tree = record(exposures)
    for direct, grism in zip(exposures.direct, exposures.grisms, strict=True):
        tree = refitted(tree, grism.key, "grism", remarks=(OtherOrbit(direct.key),))
    [warning] = quality_warnings(Contents(tree))
    first, second = (one.key for one in exposures.grisms)
    words = str(OtherOrbit("the direct exposure"))
    told = f"{first}, {second} ({words})"
    assert warning.text == f"2 grism exposures corrected with reservations: {told}"
    assert "spectra tell" in warning.advice


def test_visits_are_apart_in_the_table(html):
    rows = re.findall(r'<tr class="(?:direct|grism)( first)?">', html)
    assert rows == ["", "", "", "", " first", "", "", ""]


def test_what_does_not_fit_on_paper_is_on_screen_only(html):
    heads = re.findall(r'<th scope="col" title="[^"]*" class="[a-z ]*screen"><button[^>]*>([^<]*)<', html)
    assert heads == ["false match", "start (UTC)"]
    assert html.count('class="number screen">') == 1 + 8
    assert html.count('class="date screen">') == 8


def test_what_guided_is_said_once_for_all_exposures_of_an_acquisition():
    exposures = field()
    tree = record(exposures)
    pairs = list(zip(exposures.grisms, exposures.direct, strict=True))
    for at, (grism, direct) in enumerate(pairs):
        remark = Unguided((direct.key, grism.key), "one guide star", 4.0 + at)
        tree = refitted(tree, grism.key, "grism", remarks=(remark,))
    told = [one for one in quality_warnings(Contents(tree)) if "guided" in one.text]
    assert len(told) == 1
    assert told[0].text == (
        "8 exposures guided on one guide star: the pointing drifts, error of grism exposures by acquisition "
        "at most 5 mas (i00v00), 7 mas (i01v01)"
    )
    assert set(told[0].exposures) == set(tree.exposures)
