"""One run of one aligner on the direct exposures of a folder, in a process of its own.

    python benchmarks/_peers.py PEER RAW OUTPUT SETTINGS

PEER is ``ours``, ``tweakwcs``, ``tweakreg`` or ``grizli``, SETTINGS a JSON object of its settings. OUTPUT
gets copies of the exposures with the WCSs that the aligner found; RAW is not touched, and no truth is known
here. `benchmarks/peers.py` calls it. It imports nothing but what its peer needs, so that a peer may live in
an environment of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS, FITSFixedWarning

__all__ = ["GOOD_BITS", "direct_paths"]

# DQ bits that leave a pixel usable: blobs and repaired ramps of WFC3/IR, warm pixels and such of the CCDs.
GOOD_BITS = {"IR": 512 + 8192, "UVIS": 64 + 32 + 128, "WFC": 64 + 32 + 128}
_FWHM = {"IR": 1.6, "UVIS": 2.2, "WFC": 2.2}
_BRIGHTEST = 800
_GRISM = re.compile(r"G\d+|PR\d+")


def _detector(path: Path) -> str:
    return str(fits.getval(path, "DETECTOR"))


def direct_paths(folder: Path) -> list[Path]:
    """The direct exposures of a folder, by name; those whose filters include no disperser."""
    direct = []
    for path in sorted(folder.glob("*.fits")):
        header = fits.getheader(path)
        filters = [str(header.get(key, "")) for key in ("FILTER", "FILTER1", "FILTER2")]
        if not any(_GRISM.match(name) for name in filters):
            direct.append(path)
    return direct


def run_ours(raw: Path, output: Path, settings: dict[str, Any]) -> None:
    """grism_align with its defaults; grism exposures are corrected besides."""
    from grism_align.steps.pipeline import GrismAlignPipeline

    GrismAlignPipeline.call(str(raw), output_dir=str(output), resume=False, **settings)


def run_tweakwcs(raw: Path, output: Path, settings: dict[str, Any]) -> None:
    """tweakwcs.align_wcs against a reference catalog that grows, as its documentation shows."""
    from tweakwcs import FITSWCSCorrector, XYXYMatch, align_wcs

    correctors, scale = [], 1.0
    for path in direct_paths(raw):
        with fits.open(path) as hdus:
            for number, hdu in enumerate(hdus):
                if hdu.name != "SCI":
                    continue
                catalog = _star_catalog(hdu.data, hdus["DQ", hdu.ver].data, _detector(path), settings)
                wcs = WCS(hdu.header, hdus)
                scale = 3600 * float(np.sqrt(abs(np.linalg.det(wcs.wcs.cd))))
                meta = {"catalog": catalog, "group_id": path.name, "name": path.name, "extension": number}
                if len(catalog) > 3:
                    correctors.append(FITSWCSCorrector(wcs, meta=meta))
    match = XYXYMatch(searchrad=settings["searchrad"] / scale, separation=1.5, tolerance=1.0, use2dhist=True)
    align_wcs(correctors, None, expand_refcat=True, match=match, fitgeom="rshift", minobj=4, nclip=3)
    for path in direct_paths(raw):
        shutil.copy(path, output)
    for corrector in correctors:
        if str(corrector.meta["fit_info"]["status"]).startswith("SUCCESS"):
            _write_linear_terms(output / corrector.meta["name"], corrector.meta["extension"], corrector.wcs)


def _write_linear_terms(path: Path, extension: int, wcs: WCS) -> None:
    with fits.open(path, mode="update") as hdus:
        header = hdus[extension].header
        for i in (0, 1):
            header[f"CRVAL{i + 1}"] = float(wcs.wcs.crval[i])
            for j in (0, 1):
                header[f"CD{i + 1}_{j + 1}"] = float(wcs.wcs.cd[i, j])


def _star_catalog(sci: np.ndarray, dq: np.ndarray, detector: str, settings: dict[str, Any]) -> Table:
    """Brightest sources of a chip by DAOStarFinder, with the centroids asked for."""
    from astropy.stats import sigma_clipped_stats
    from photutils.detection import DAOStarFinder

    bad = ((dq & ~GOOD_BITS[detector]) != 0) | ~np.isfinite(sci)
    none = Table({"x": np.zeros(0), "y": np.zeros(0), "flux": np.zeros(0)})
    if bad.mean() > 0.5:
        return none
    _, level, noise = sigma_clipped_stats(sci[~bad])
    image = np.where(bad, 0.0, sci - level)
    found = DAOStarFinder(settings["threshold"] * noise, _FWHM[detector])(image, mask=bad)
    if found is None:
        return none
    names = ("x_centroid", "y_centroid") if "x_centroid" in found.colnames else ("xcentroid", "ycentroid")
    xy = np.stack([np.asarray(found[name], dtype=float) for name in names], axis=1)
    inside = ((xy > 8) & (xy < np.array(image.shape[::-1]) - 9)).all(axis=1)
    xy, flux = xy[inside], np.asarray(found["flux"])[inside]
    centroid = {"dao": lambda _, start: start, "windowed": _windowed, "gaussian": _gaussian}
    better = centroid[settings["centroid"]](image, xy)
    good = np.flatnonzero(np.hypot(*(better - xy).T) < 1.0)
    order = good[np.argsort(-flux[good], kind="stable")][:_BRIGHTEST]
    return Table({"x": better[order, 0], "y": better[order, 1], "flux": flux[order]})


def _windowed(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Centroids under a Gaussian window of 1 pixel that moves along (SExtractor's XWIN); NaN where lost."""
    corner = np.rint(xy).astype(int)
    offset = np.stack(np.meshgrid(np.arange(-4, 5), np.arange(-4, 5)), axis=-1).reshape(-1, 2)
    places = corner[:, None] + offset
    stamp = image[places[..., 1], places[..., 0]]
    now = xy.copy()
    for _ in range(20):
        from_center = places - now[:, None]
        weight = stamp * np.exp(-0.5 * (from_center**2).sum(axis=-1))
        with np.errstate(divide="ignore", invalid="ignore"):
            now = now + 2 * (weight[..., None] * from_center).sum(axis=1) / weight.sum(axis=1)[:, None]
    return now


def _gaussian(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Centroids of two-dimensional Gaussian fits."""
    from photutils.centroids import centroid_2dg, centroid_sources

    return np.stack(centroid_sources(image, *xy.T, box_size=7, centroid_func=centroid_2dg), axis=1)


def run_tweakreg(raw: Path, output: Path, settings: dict[str, Any]) -> None:
    """drizzlepac's TweakReg, as for a batch job."""
    from drizzlepac.tweakreg import TweakReg

    for name in ("iref", "jref"):
        os.environ.setdefault(name, f"{output}/")
    direct = direct_paths(raw)
    for path in direct:
        shutil.copy(path, output)
    os.chdir(output)
    find = {
        "threshold": settings["threshold"],
        "conv_width": settings["conv_width"],
        "dqbits": GOOD_BITS[_detector(direct[0])],
        "use_sharp_round": True,
    }
    TweakReg(
        [path.name for path in direct],
        imagefindcfg=find,
        refimagefindcfg=find,
        searchrad=settings["searchrad"],
        searchunits="arcseconds",
        fitgeometry="rscale",
        expand_refcat=True,
        enforce_user_order=True,
        minobj=4,
        ylimit=0.3,
        updatehdr=True,
        wcsname="TWEAK",
        reusename=True,
        updatewcs=False,
        interactive=False,
        see2dplot=False,
        residplot="No plot",
        writecat=False,
    )


def run_grizli(raw: Path, output: Path, settings: dict[str, Any]) -> None:
    """grizli's tweak of each visit, then its mosaic's alignment to that of the visit before.

    The steps of `grizli.prep.process_direct_grism_visit` that move a WCS: `tweak_align`, a drizzled mosaic,
    its catalog, `align_drizzled_image`. What it does besides (fresh copies, calibrations, sky, grisms) is
    left out.
    """
    for name in ("iref", "jref"):
        os.environ.setdefault(name, f"{output}/")
    os.environ.setdefault("MPLBACKEND", "agg")
    visits: dict[str, list[str]] = {}
    for path in direct_paths(raw):
        visits.setdefault(path.name[:6], []).append(path.name)
        _copy_for_drizzle(path, output / path.name)
    os.chdir(output)
    reference = None
    for visit, files in visits.items():
        reference = _grizli_visit({"product": f"visit-{visit}", "files": files}, reference, settings)


def _grizli_visit(visit: dict[str, Any], reference: str | None, settings: dict[str, Any]) -> str:
    """Align one visit; returns the file of its positions, for the next one."""
    from drizzlepac import updatehdr
    from grizli import prep

    product = visit["product"]
    prep.tweak_align(
        visit,
        {},
        max_dist=100.0,
        threshold=settings["threshold"],
        drizzle=True,
        make_figures=False,
    )
    if reference is not None:
        prep.make_SEP_catalog(root=product, threshold=2)
        _, _, shift, roll, scale = prep.align_drizzled_image(
            root=product,
            mag_limits=[14, 24, 0.05],
            radec=reference,
            clip=settings["clip"],
            simple=settings["simple"],
            max_sources=400,
        )
        for name in visit["files"]:
            updatehdr.updatewcs_with_shift(
                name,
                f"{product}_wcs.fits",
                xsh=shift[0],
                ysh=shift[1],
                rot=roll,
                scale=scale,
                wcsname="GRIZLI",
                force=True,
                reusename=True,
                sciext="SCI",
            )
        prep.tweak_align(visit, {}, max_dist=0.0, drizzle=True, make_figures=False)
    catalog = prep.make_SEP_catalog(root=product, threshold=2)
    bright = catalog[(catalog["MAG_AUTO"] < 24) & (catalog["MAGERR_AUTO"] < 0.1)]
    np.savetxt(f"{product}.radec", np.stack([bright["X_WORLD"], bright["Y_WORLD"]], axis=1))
    return f"{product}.radec"


def _copy_for_drizzle(path: Path, copy: Path) -> None:
    """Copy an exposure with DQ as grizli casts it, and the cards that AstroDrizzle wants if it lacks them."""
    shutil.copy(path, copy)
    with fits.open(copy, mode="update") as hdus:
        primary = hdus[0].header
        primary.setdefault("MJD-OBS", primary.get("EXPSTART"))
        primary.setdefault("CCDGAIN", 2.5)
        primary.setdefault("PFLTFILE", "iref$none_pfl.fits")
        for amplifier in "ABCD":
            primary.setdefault(f"ATODGN{amplifier}", 2.4)
            primary.setdefault(f"READNSE{amplifier}", 20.0)
        for hdu in hdus:
            if hdu.name == "DQ":
                hdu.data = hdu.data.astype(np.int16)
            if hdu.data is None and "PIXVALUE" in hdu.header:
                # stsci.tools overflows on a constant array with numpy 2
                shape = hdu.header["NPIX2"], hdu.header["NPIX1"]
                hdu.data = np.full(shape, hdu.header["PIXVALUE"], dtype=np.float32)
            if hdu.name == "SCI":
                hdu.header.setdefault("NGOODPIX", hdu.data.size)
                hdu.header.setdefault("MEANDARK", 0.05)


_RUNNERS = {"ours": run_ours, "tweakwcs": run_tweakwcs, "tweakreg": run_tweakreg, "grizli": run_grizli}


def main() -> None:
    """Run one peer."""
    peer, raw, output, settings = sys.argv[1:]
    warnings.simplefilter("ignore", FITSFixedWarning)
    _RUNNERS[peer](Path(raw).resolve(), Path(output).resolve(), json.loads(settings))


if __name__ == "__main__":
    main()
