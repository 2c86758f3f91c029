"""The inspection page: what is in it, and that texts stay texts."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from grism_align.io.inspection import inspection_path, page_of, write_inspection
from grism_align.io.pictures import jpeg
from grism_align.values.errors import OutputError
from grism_align.values.inspection import (
    ChipPicture,
    InspectedExposure,
    Inspection,
    SourceMarks,
    StarMarks,
    TraceMarks,
)
from grism_align.values.transform import LinearTransform, TangentPlane
from tests.support.browser import DATA, browse, needs_chromium

PLANE = TangentPlane(150.0, 2.0)
EVIL = "</script><script>alert(1)</script><!--\u2028&\"'{{x}}"
NODES = 0.1 * np.array([[[5.0, -5.0], [-5.0, -5.0]], [[5.0, 5.0], [-5.0, 5.0]]]) * 10


def sources(n=3):
    nan = np.full((n, 3), np.nan)
    relative = nan.copy()
    relative[:2] = [[1.234, -2.0, 0.9], [3.0, 4.0, 0.0]]
    return SourceMarks(
        place=np.array([[0.0, 0.0], [2.0, 1.0], [-3.0, 2.0]]),
        number=np.array([7, 8, -1]),
        id=np.arange(n),
        chip=np.ones(n, int),
        xy=np.array([[49.5, 49.5], [29.5, 59.5], [79.5, 69.5]]),
        mag=np.array([20.0, 19.0, np.nan]),
        status=np.array(["matched", "clipped", "rejected"]),
        relative=relative,
        absolute=nan,
        matched=np.array([EVIL, "", ""]),
        doubts=np.array(["", "", "edge"]),
    )


def exposure(key, *, grism=False, reduced=1):
    shades = np.random.default_rng(1).integers(0, 255, (100 // reduced,) * 2, dtype=np.uint8)
    line = np.array([[[0.0, 0.0], [1.0, 0.1], [np.nan, np.nan]]])
    traces = TraceMarks(
        np.array([7]), np.ones(1, int), np.array([[3.0, 4.0]]), np.array([20.0]), line, line + 1.0, EVIL
    )
    return InspectedExposure(
        key=key,
        kind="grism" if grism else "direct",
        instrument=EVIL,
        filter="G141" if grism else "F140W",
        visit="ib01",
        start="2014-12-09 07:12",
        status="ALIGNED",
        remarks=EVIL,
        shift="",
        before=LinearTransform.from_parameters(PLANE, (0.5, -0.25), 0.01),
        chips=(ChipPicture(1, (100, 100), NODES, jpeg(shades, 80), reduced),),
        sources=None if grism else sources(),
        stars=None if grism else StarMarks(np.array([[0.0, 0.0]]), np.array([EVIL]), np.array([18.0])),
        traces=traces if grism else None,
    )


def inspection(*exposures):
    stars = StarMarks(np.array([[0.0, 0.0], [9.0, 9.0]]), np.array([EVIL, "S2"]), np.array([18.0, np.nan]))
    return Inspection(EVIL, "2026-01-01T00:00:00", EVIL, PLANE, exposures, EVIL, stars)


@pytest.fixture
def page():
    return page_of(inspection(exposure(EVIL), exposure("second", grism=True)))


def data_in(page):
    return json.loads(re.search(DATA, page, re.DOTALL)[1])


def test_texts_of_files_are_texts(page):
    assert page.count("<script") == page.count("</script>") == 2
    assert "<!--" not in page
    data = data_in(page)
    first = data["exposures"][0]
    assert first["key"] == first["remarks"] == first["sources"]["matched"][0] == data["product"] == EVIL
    assert "alert(1)" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL).replace(
        "&gt;alert(1)&lt;", ""
    )


def test_it_needs_nothing_else(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert (
        policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )
    assert "http" not in re.sub(r'http-equiv|"image":"[^"]*"', "", page)


def test_numbers_that_nobody_knows_are_null(page):
    first, second = data_in(page)["exposures"]
    assert first["sources"]["mag"] == [20.0, 19.0, None]
    assert first["sources"]["relative"][:4] == [1.23, -2.0, 0.9, 3.0]
    assert first["sources"]["relative"][6:] == [None] * 3
    assert second["traces"]["after"] == [0.0, 0.0, 1.0, 0.1, None, None]
    assert second["sources"] is None


def test_it_says_that_pictures_are_reduced(page):
    assert "reduced, " not in page
    several = page_of(inspection(exposure("first", reduced=2), exposure("second")))
    assert "Pictures of 1 of 2 chips are reduced, 2 by 2 pixels at most" in several
    assert "Pictures of the chip are reduced" in page_of(inspection(exposure("first", reduced=2)))


def test_the_file(tmp_path):
    target = inspection_path(tmp_path / "mine_provenance.asdf")
    assert target.name == "mine_inspect.html"
    assert write_inspection(inspection(exposure("first")), target) == target
    assert target.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"a\.html: can't be written"):
        write_inspection(inspection(exposure("first")), tmp_path / "file" / "a.html")


# a browser without a screen need not draw any frame in the time that it is given
_FRAMES = "<script>requestAnimationFrame = (draw) => setTimeout(draw, 16);</script>"
_PROBE = """<pre id="seen"></pre><script>
addEventListener("load", () => setTimeout(() => {
  const view = document.getElementById("marks"), box = view.getBoundingClientRect();
  const [clientX, clientY] = [box.left + box.width / 2, box.top + box.height / 2];
  const at = { bubbles: true, pointerId: 1, clientX, clientY };
  view.setPointerCapture = () => {};
  const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const text = (id) => document.getElementById(id).textContent;
  view.dispatchEvent(new PointerEvent("pointerdown", at));
  view.dispatchEvent(new PointerEvent("pointerup", at));
  const seen = { clicked: text("measurement"), where: text("where") };
  const pixels = document.getElementById("sky").getContext("2d").getImageData(0, 0, 900, 300).data;
  seen.lit = pixels.some((value, at) => at % 4 === 0 && value > 100);
  press("n"); seen.next = text("measurement");
  press("]");
  setTimeout(() => {
    press("c");
    setTimeout(() => {
      seen.shown = text("shown");
      seen.wider = document.documentElement.scrollWidth - innerWidth;
      seen.requests = performance.getEntriesByType("resource").map((one) => one.name)
        .filter((name) => !name.startsWith("data:"));
      document.getElementById("seen").textContent = btoa(unescape(encodeURIComponent(JSON.stringify(seen))));
    }, 500);
  }, 500);
}, 300));
</script></body>"""


@needs_chromium
def test_the_page_in_a_browser(tmp_path, page):
    path = tmp_path / "probed.html"
    probed = page.replace("<head>", f"<head>{_FRAMES}", 1).replace("</body>", _PROBE)
    path.write_text(probed, encoding="utf-8")
    found = browse(
        tmp_path, "--window-size=500,900", "--virtual-time-budget=5000", "--dump-dom", path.as_uri()
    )
    assert "CONSOLE" not in found.stderr
    seen = json.loads(base64.b64decode(re.search(r'<pre id="seen">(.+?)</pre>', found.stdout)[1]))
    assert seen["lit"]
    assert "Source7" in seen["clicked"]
    assert "E +1.2, N \N{MINUS SIGN}2.0 mas; weight 0.90" in seen["clicked"]
    assert seen["where"].startswith("RA 150.00000")
    assert "Source8" in seen["next"]
    assert seen["shown"] == "second · G141 · before"
    assert seen["wider"] <= 0
    assert seen["requests"] == []
