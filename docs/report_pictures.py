"""Make the pictures of the page on the report, of a record.

``grism-align demo`` leaves a record; ``python docs/report_pictures.py RECORD`` makes its report, opens it in
chromium and writes ``docs/figures/report_top.png`` and ``docs/figures/report_blink.png``. Names that follow
choose the pictures: ``report_spectra`` is of a field whose grism exposures have dither errors of their own.
Needs chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from grism_align.io.record.file import read_record
from grism_align.io.report import report_html

_FIGURES = Path(__file__).parent / "figures"
# What is left of the page in each picture, and the height of the window that it fits into.
_PICTURES = {
    "report_top": ("nav, main > section:not(#summary, #warnings, #exposures)", 1400),
    "report_blink": ("header, nav, main > section:not(#blink), .pair:nth-child(n + 5)", 800),
    "report_spectra": (
        "header, nav, main > section:not(#spectra), "
        "#spectra :is(tr:nth-child(n + 5), .panel:nth-child(n + 3))",
        1500,
    ),
}


def picture(page: str, hidden: str, height: int) -> Image.Image:
    """Picture a page in a browser without the elements that are hidden, cut to what it shows.

    Parameters
    ----------
    page : str
        HTML.
    hidden : str
        CSS selectors.
    height : int
        Of the window, pixels.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        msg = "needs chromium"
        raise SystemExit(msg)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "page.html", Path(folder) / "page.png"
        source.write_text(page.replace("</head>", f"<style>{hidden} {{ display: none }}</style></head>"))
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        options += [f"--user-data-dir={folder}/browser", f"--window-size=1180,{height}"]
        subprocess.run([chromium, *options, f"--screenshot={target}", source.as_uri()], check=True)
        image = Image.open(target).convert("RGB")
    shown = ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox()
    return image.crop((0, 0, image.width, shown[3] + 12)) if shown else image


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path, help="a provenance file")
    parser.add_argument("names", nargs="*", default=["report_top", "report_blink"], help="of the pictures")
    arguments = parser.parse_args()
    page = report_html(read_record(arguments.record))
    for name in arguments.names:
        hidden, height = _PICTURES[name]
        found = picture(page, hidden, height).quantize(255, dither=Image.Dither.NONE)
        found.save(_FIGURES / f"{name}.png", optimize=True)
        print(_FIGURES / f"{name}.png", *found.size)


if __name__ == "__main__":
    main()
