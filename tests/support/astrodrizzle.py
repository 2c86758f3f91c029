"""Exposures drizzled by drizzlepac's AstroDrizzle, an independent program, onto the pixels of a mosaic."""

from __future__ import annotations

import contextlib
import io
import shutil
import warnings
from typing import TYPE_CHECKING

from astropy.io import fits

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

# What it reads of a real header besides
WANTED = [
    ("SCI", "NGOODPIX", 90000),
    ("SCI", "MEANDARK", 0.05),
    (0, "CCDGAIN", 2.5),
    *((0, f"ATODGN{amplifier}", 2.4) for amplifier in "ABCD"),
    *((0, f"READNSE{amplifier}", 20.0) for amplifier in "ABCD"),
]


def run_astrodrizzle(paths, frame: Path, folder: Path, **options) -> tuple[np.ndarray, np.ndarray]:
    """Image and weights, on the pixels of an image, of exposures as they are; works on copies in a folder."""
    from drizzlepac.astrodrizzle import AstroDrizzle

    from tests.support.fields import edited

    folder.mkdir()
    shutil.copyfile(frame, folder / "frame.fits")
    for path in paths:
        edited(path, folder / path.name, *WANTED)
    never = ("updatewcs", "build", "context", "preserve", "static", "in_memory", "skysub")
    never += ("driz_separate", "median", "blot", "driz_cr")
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        AstroDrizzle(
            [path.name for path in paths],
            output="mosaic",
            **dict.fromkeys(never, False),
            final_wcs=True,
            final_refimage="frame.fits",
            final_fillval=0,
            final_units="cps",
            num_cores=1,
            **options,
        )
    image, weight = (next(folder.glob(f"mosaic_dr?_{kind}.fits")) for kind in ("sci", "wht"))
    return fits.getdata(image), fits.getdata(weight)
