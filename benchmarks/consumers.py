"""What the programs that come next make of aligned exposures: do they take them, with the same WCS?

    python benchmarks/consumers.py                        # every consumer that this Python has
    python benchmarks/consumers.py --python hstaxe=/path/to/bin/python --python grizli=/path/to/bin/python
    python benchmarks/consumers.py --aligned aligned/     # products of yours instead of simulated ones

Direct and grism exposures of each instrument are simulated, aligned with each other and with a catalog by the
pipeline, once without headerlets and once with `headerlets=attach`, and given to each consumer as they are.
A consumer may want another Python than grism_align: each trial runs in one of its own, named with --python,
that needs astropy and the consumer alone.

grizli: GrismFLT of each direct and grism exposure, each chip, padded as by default, with a grism
configuration that is written here; then its loader of visits.yaml. drizzlepac: AstroDrizzle,
updatewcs=False, of copies of the exposures that have point sources at known pixels instead of what they saw.
hstaxe: iolprep, which takes positions from such a mosaic to each grism exposure. slitlessutils:
WFSSCollection of the grism exposures, with a configuration that is written here.

``difference`` is the largest distance on the sky between where the consumer and where grism_align's own
reader put the corners and the centre of all chips; of AstroDrizzle, that of drizzled sources from where they
should be, which has the errors of their centroids too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

_INSTRUMENTS = ("wfc3_ir", "acs_wfc", "wfc3_uvis")
_HEADERLETS = ("none", "attach")
_MARK = "RESULT "
_MAS = np.degrees(3.6e6)
_DOT = 1.8
# What AstroDrizzle wants of a real header besides those of the simulation.
_WANTED = {
    "SCI": {"NGOODPIX": 90000, "MEANDARK": 0.05},
    "PRIMARY": {
        "CCDGAIN": 2.5,
        **{f"ATODGN{amplifier}": 2.4 for amplifier in "ABCD"},
        **{f"READNSE{amplifier}": 20.0 for amplifier in "ABCD"},
    },
}

# --- what is given to the consumers; only this part needs grism_align ---


def make(instrument: str, size: int, folder: Path) -> list[Path]:
    """Simulate and align a field; a folder of products for each kind of headerlets."""
    from grism_align.simulation import case_a, simulate
    from grism_align.steps.pipeline import GrismAlignPipeline

    truth = simulate(case_a(instrument, size, n_visits=1), folder / "raw", np.random.default_rng(1))
    for path in truth.paths:
        _as_fetched(path)
    catalog = folder / "truth.ecsv"
    truth.catalog.write(catalog, format="ascii.ecsv")
    for kind in _HEADERLETS:
        GrismAlignPipeline.call(
            [str(path) for path in truth.paths],
            output_dir=str(folder / kind),
            headerlets=kind,
            steps={"absolute_align": {"catalog": str(catalog)}},
        )
    return [folder / kind for kind in _HEADERLETS]


def _as_fetched(path: Path) -> None:
    """Give simulated headers what consumers read of real ones, where it is not there."""
    with fits.open(path, mode="update") as hdus:
        for hdu in hdus:
            for keyword, value in _WANTED.get(hdu.name, {}).items():
                hdu.header.setdefault(keyword, value)
            # an extension of one value, whose BITPIX must hold it
            if hdu.header.get("PIXVALUE", 0) > 1:
                hdu.header["PIXVALUE"] = 1


@contextlib.contextmanager
def copied(products: Path) -> Iterator[Path]:
    """A copy of products for one trial, with what is expected of them and with visits.yaml."""
    from grism_align.io.export.grizli_visits import write_grizli_visits

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "trial"
        shutil.copytree(products, folder)
        for path in folder.glob("*_fl[tc].fits"):
            _as_fetched(path)
        [record] = folder.glob("*_provenance.asdf")
        write_grizli_visits(record)
        (folder / "expected.json").write_text(json.dumps(expected(folder, record)))
        yield folder


def expected(folder: Path, record: Path) -> dict[str, Any]:
    """Where our own reader puts pixels of each chip, and which direct exposure governs which grism."""
    from grism_align.io.missions import read_exposure
    from grism_align.io.record.file import read_record

    files: dict[str, Any] = {}
    for path in sorted(folder.glob("*_fl[tc].fits")):
        exposure = read_exposure(path)
        chips = {chip.number: _places(chip, len(files)) for chip in exposure.chips}
        files[path.name] = {"is_direct": exposure.is_direct, "filter": exposure.filter, "chips": chips}
    grisms = {key: entry.grism for key, entry in read_record(record).exposures.items()}
    governed = {key: fit.governors[0] for key, fit in grisms.items() if fit and fit.governors}
    return {"files": files, "governed": governed}


def _places(chip: Any, number: int) -> dict[str, Any]:
    """Corners and centre; and pixels for sources, not all where those of the other exposures fall."""
    ny, nx = chip.shape
    xy = [[0, 0], [nx - 1, 0], [0, ny - 1], [nx - 1, ny - 1], [(nx - 1) / 2, (ny - 1) / 2]]
    grid = ((0.2, 0.5, 0.8), (0.31, 0.62))[number // 2 % 2]
    dots = [[round(x * nx), round(y * ny)] for y in grid for x in grid]
    found = {name: chip.wcs.to_sky(list_).tolist() for name, list_ in (("sky", xy), ("dots_sky", dots))}
    return {"xy": xy, "dots": dots, **found}


# --- the trials, each in a Python that has the consumer ---


class TrialError(Exception):
    """Something is wrong with what a consumer did, though it raised nothing."""


def require(is_so: bool, *problem: object) -> None:
    """Stop the trial unless something is so."""
    if not is_so:
        raise TrialError(*problem)


def distance(first: Any, second: Any) -> float:
    """Largest distance of two lists of positions, mas."""
    return float(_MAS * np.linalg.norm(_vectors(first) - _vectors(second), axis=-1).max())


def _vectors(sky: Any) -> NDArray[np.float64]:
    ra, dec = np.radians(np.transpose(sky))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def of_kind(wanted: dict[str, Any], *, direct: bool) -> dict[str, Any]:
    """The chips of the direct or of the grism exposures, by file name."""
    return {name: one["chips"] for name, one in wanted["files"].items() if one["is_direct"] is direct}


def try_grizli(folder: Path, wanted: dict[str, Any]) -> tuple[str, float]:
    """Open each pair of direct and grism exposures; read visits.yaml back."""
    _write_axe_configurations(folder / "CONF")
    os.environ["GRIZLI"] = str(folder)
    from grizli.model import GrismFLT
    from grizli.pipeline.auto_script import load_visits_yaml

    apart, remark = [], ""
    names = {name.split("_")[0]: name for name in wanted["files"]}
    for grism, direct in wanted["governed"].items():
        for extver in wanted["files"][names[grism]]["chips"]:
            try:
                model = GrismFLT(names[grism], int(extver), names[direct], verbose=False)
            except AttributeError as error:
                # of any file of ACS, where stwcs is newer than grizli expects
                remark = f", unpadded (padded: {error})"
                model = GrismFLT(names[grism], int(extver), names[direct], pad=0, verbose=False)
            for name, image in ((names[grism], model.grism), (names[direct], model.direct)):
                chip = wanted["files"][name]["chips"][extver]
                xy = np.add(chip["xy"], image.pad[::-1])
                apart.append(distance(image.wcs.all_pix2world(xy, 0), chip["sky"]))
    [path] = folder.glob("*_visits.yaml")
    visits, groups, info = load_visits_yaml(path)
    _check_visits(visits, groups, wanted)
    counts = f"{len(visits)} visits, {len(groups)} groups, {len(info)} exposures"
    return f"{len(apart) // 2} GrismFLT{remark}; visits.yaml: {counts}", max(apart)


def _check_visits(visits: Any, groups: Any, wanted: dict[str, Any]) -> None:
    """Every exposure is in one visit, and its centre within its footprint."""
    from shapely.geometry import Point

    listed = sorted(name for visit in visits for name in visit["files"])
    require(listed == sorted(wanted["files"]), "visits.yaml has", *listed)
    for visit in [*visits, *(one for group in groups for one in group.values())]:
        for name, footprint in zip(visit["files"], visit["footprints"], strict=True):
            chips = wanted["files"][name]["chips"].values()
            for chip, outline in zip(chips, footprint, strict=True):
                inside = outline.contains(Point(chip["sky"][4]))
                inside &= visit["footprint"].contains(outline.centroid)
                require(inside, "not within its footprint:", name)


def _write_axe_configurations(folder: Path) -> None:
    """A configuration in the form of aXe where grizli looks for that of each grism: a straight trace."""
    names = [f"ACS.WFC.CHIP{chip}.Stars.conf" for chip in (1, 2)]
    names += [f"{grism}.F140W.V4.32.conf" for grism in ("G102", "G141")]
    names += [f"G280/WFC3.UVIS.G280.cal/WFC3.UVIS.G280.CHIP{chip}.V2.0.conf" for chip in (1, 2)]
    lines = (
        "BEAMA 15 180",
        "MMAG_EXTRACT_A 30",
        "MMAG_MARK_A 30",
        "DYDX_ORDER_A 1",
        "DYDX_A_0 0.0",
        "DYDX_A_1 0.01",
        "XOFF_A 0.0",
        "YOFF_A 0.0",
        "DISP_ORDER_A 1",
        "DLDP_A_0 9000.0",
        "DLDP_A_1 45.0",
        "SENSITIVITY_A flat.fits",
    )
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(lines) + "\n")
        _write_sensitivity(target.parent / "flat.fits")


def _write_sensitivity(path: Path) -> None:
    values = [np.linspace(2000.0, 20000.0, 200), np.full(200, 1e16), np.ones(200)]
    table = np.rec.fromarrays(values, names="WAVELENGTH,SENSITIVITY,ERROR")
    fits.BinTableHDU(table).writeto(path, overwrite=True)


def try_drizzlepac(folder: Path, wanted: dict[str, Any]) -> tuple[str, float]:
    """Drizzle the direct and then the grism exposures, each with sources at known pixels."""
    from astropy.wcs import WCS

    apart, counts = [], []
    _put_sources(wanted)
    for direct in (True, False):
        chosen = of_kind(wanted, direct=direct)
        _drizzle(chosen, f"mosaic_{direct}", build=False)
        [path] = folder.glob(f"mosaic_{direct}_dr?_sci.fits")
        with fits.open(path) as hdus:
            image, wcs = np.nan_to_num(hdus[0].data), WCS(hdus[0].header)
        sky = np.concatenate([chip["dots_sky"] for chips in chosen.values() for chip in chips.values()])
        sky = _alone(sky, wcs.all_world2pix(sky, 0))
        found = [_centroid(image, *place) for place in wcs.all_world2pix(sky, 0)]
        apart.append(distance(wcs.all_pix2world(found, 0), sky))
        counts.append(f"{len(chosen)} {'direct' if direct else 'grism'}")
    return f"AstroDrizzle of {' and '.join(counts)}", max(apart)


def _drizzle(chosen: dict[str, Any], output: str, *, build: bool) -> None:
    """Drizzle exposures, whose WCS must stay as it is."""
    from drizzlepac.astrodrizzle import AstroDrizzle

    before = {name: _wcs_cards(name) for name in chosen}
    off = dict.fromkeys(("static", "skysub", "driz_separate", "median", "blot", "driz_cr"), False)
    AstroDrizzle(
        list(chosen),
        output=output,
        updatewcs=False,
        preserve=False,
        context=False,
        build=build,
        **off,
        final_bits=65535,
        final_wcs=True,
        final_rot=0.0,
        num_cores=1,
        in_memory=False,
    )
    require(before == {name: _wcs_cards(name) for name in chosen}, "the WCS changed of one of", *chosen)


def _put_sources(wanted: dict[str, Any]) -> None:
    """Round sources on nothing.

    Before drizzlepac is imported: it makes astropy expand extensions of one value, which are of no use here.
    """
    for name, one in wanted["files"].items():
        _put_dots(Path(name), one["chips"])


def _put_dots(path: Path, chips: dict[str, Any]) -> None:
    with fits.open(path, mode="update") as hdus:
        for extver, chip in chips.items():
            data = hdus["SCI", int(extver)].data
            data[:] = 0
            y, x = np.indices(data.shape)
            for column, row in chip["dots"]:
                data += 1e4 * np.exp(-0.5 * ((x - column) ** 2 + (y - row) ** 2) / _DOT**2)
            hdus["DQ", int(extver)].data[:] = 0


def _wcs_cards(name: str) -> list[Any]:
    keywords = ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "WCSNAME")
    with fits.open(name) as hdus:
        return [hdu.header[keyword] for hdu in hdus if hdu.name == "SCI" for keyword in keywords]


def _alone(sky: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sources without a neighbour on the mosaic, which dithers may give them."""
    distances = np.linalg.norm(places[:, None] - places, axis=-1) + 1e3 * np.eye(len(places))
    return sky[distances.min(axis=1) > 28]


def _centroid(image: NDArray[np.float64], x: float, y: float, half: int = 11) -> list[float]:
    left, low = round(x) - half, round(y) - half
    cut = image[low : low + 2 * half + 1, left : left + 2 * half + 1]
    rows, columns = np.indices(cut.shape)
    return [left + (cut * columns).sum() / cut.sum(), low + (cut * rows).sum() / cut.sum()]


def try_hstaxe(folder: Path, wanted: dict[str, Any]) -> tuple[str, float]:
    """Have positions on a mosaic of the grism exposures taken to each of them."""
    _put_sources(wanted)
    from astropy.table import Table
    from hstaxe import axetasks
    from stwcs.wcsutil import HSTWCS

    chosen = of_kind(wanted, direct=False)
    _drizzle(chosen, "mosaic", build=True)
    [mosaic] = (path.name for path in folder.glob("mosaic_dr?.fits"))
    wcs = HSTWCS(mosaic, ext=1)
    sky = np.concatenate([chip["sky"] for chips in chosen.values() for chip in chips.values()])
    _write_sextractor_catalog(wcs.wcs_world2pix(sky, 1), folder / "all.cat")
    axetasks.iolprep(mosaic, "all.cat", "20,20,20,20")
    apart = []
    for name, chips in chosen.items():
        for extver, chip in chips.items():
            table = Table.read(f"{name.removesuffix('.fits')}_{extver}.cat", format="ascii.sextractor")
            found = np.column_stack([table["X_IMAGE"], table["Y_IMAGE"]]) - 1.0
            offsets = [np.linalg.norm(found - place, axis=1).min() for place in chip["xy"]]
            apart.append(max(offsets) * wcs.pscale * 1e3)
    return f"iolprep of {len(chosen)} grism", max(apart)


def _write_sextractor_catalog(xy: NDArray[np.float64], path: Path) -> None:
    columns = {"NUMBER": "", "X_IMAGE": "[pixel]", "Y_IMAGE": "[pixel]", "THETA_IMAGE": "[deg]"}
    lines = [f"# {n} {name} {name} {unit}" for n, (name, unit) in enumerate(columns.items(), 1)]
    lines += [f"{n} {x:.9f} {y:.9f} 0.0" for n, (x, y) in enumerate(xy, 1)]
    path.write_text("\n".join(lines) + "\n")


def try_slitlessutils(folder: Path, wanted: dict[str, Any]) -> tuple[str, float]:
    """Load the grism exposures as a collection."""
    chosen = of_kind(wanted, direct=False)
    for name, chips in chosen.items():
        _write_slitlessutils_references(folder / ".slitlessutils" / "1.0.0" / "instruments", name, chips)
    import slitlessutils

    collection = slitlessutils.wfss.WFSSCollection.from_list(list(chosen))
    apart = []
    for exposure in collection:
        chips = chosen[Path(exposure.filename).name]
        for detector in exposure.values():
            chip = chips[str(detector.config.extensions["science"].extver)]
            found = np.transpose(detector.xy2ad(*np.transpose(chip["xy"])))
            apart.append(distance(found, chip["sky"]))
    require(len(apart) == sum(map(len, chosen.values())), "chips loaded:", len(apart))
    return f"WFSSCollection of {len(collection)} grism", max(apart)


def _write_slitlessutils_references(folder: Path, name: str, chips: dict[str, Any]) -> None:
    """The reference files of one instrument and grism: where its chips are, and a straight trace."""
    import yaml

    header = fits.getheader(name)
    grism = header["FILTER1"] if header["INSTRUME"] == "ACS" else header["FILTER"]
    instrument = f"{header['TELESCOP']}_{header['INSTRUME']}{header['DETECTOR']}"
    (folder / "any").mkdir(parents=True, exist_ok=True)
    _write_sensitivity(folder / "any" / "flat.fits")
    trace = ("BEAM_+1", "DISPX_+1_0 0 150", "DISPY_+1_0 0 0", "DISPL_+1_0 9000 6000")
    (folder / "any" / "any.conf").write_text("\n".join((*trace, "SENSITIVITY_+1 flat.fits")))
    place = {"v2": 0.0, "v3": 0.0, "v3y": 0.0}
    grid = {"disptype": "grism", "wave0": 9000.0, "wave1": 15000.0, "dwave": 45.0, "units": "A"}
    names = {"science": "SCI", "uncertainty": "ERR", "dataquality": "DQ"}.items()
    detectors = {
        f"chip{extver}": {
            "naxis": [chip["xy"][3][0] + 1, chip["xy"][3][1] + 1],
            "crpix": [1.0, 1.0],
            "scale": [0.1, 0.1],
            "noise": {"dark": 0.0, "read": 1.0},
            "extensions": {
                key: {"extname": name, "extver": int(extver), "dtype": "np.float32"} for key, name in names
            },
            "siaf": place,
            "blockers": {None: {"sip": None, "config": {grism: "any.conf"}}},
        }
        for extver, chip in chips.items()
    }
    content = {
        "telescope": header["TELESCOP"],
        "instrument": header["INSTRUME"] + header["DETECTOR"],
        "bunit": "ELECTRONS/S",
        "suffix": "flt",
        "path": "any",
        "siaf": place,
        "dispersers": {grism: {None: {"extraction": grid, "tabulation": dict(grid)}}},
        "detectors": detectors,
    }
    (folder / f"{instrument.lower()}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


_TRIALS: dict[str, Callable[[Path, dict[str, Any]], tuple[str, float]]] = {
    "grizli": try_grizli,
    "drizzlepac": try_drizzlepac,
    "hstaxe": try_hstaxe,
    "slitlessutils": try_slitlessutils,
}


def run_trial(name: str, folder: Path) -> dict[str, Any]:
    """What comes of giving a consumer the files of a folder."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return {"version": "-", "text": "not installed"}
    wanted = json.loads((folder / "expected.json").read_text())
    os.chdir(folder)
    try:
        text, difference = _TRIALS[name](folder, wanted)
    except Exception as error:  # noqa: BLE001 (whatever a consumer raises is the result)
        traceback.print_exc()
        return {"version": version, "text": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    return {"version": version, "text": text, "difference": difference}


# --- and what is told of them ---


def tried(name: str, python: str, products: Path, *, verbose: bool) -> dict[str, Any]:
    """The outcome of one consumer on one folder of products, in a process of its own."""
    with copied(products) as folder:
        environment = {**os.environ, "HOME": str(folder), "PYTHONWARNINGS": "ignore"}
        command = [python, str(Path(__file__).resolve()), "--trial", name, "--aligned", str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if verbose:
        print(done.stdout, done.stderr, file=sys.stderr)
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if not lines:
        end = " ".join(done.stderr.split())[-200:]
        return {"version": "?", "text": f"ended with {done.returncode}: {end}"}
    result: dict[str, Any] = json.loads(lines[-1].removeprefix(_MARK))
    return result


def report(products: dict[tuple[str, str], Path], options: argparse.Namespace) -> None:
    """Print the table."""
    pythons = dict(word.split("=", 1) for word in options.python)
    print("| consumer | version | instrument | headerlets | what was done | difference [mas] |")
    print("|---|---|---|---|---|---|")
    for name in options.consumers:
        for label, folder in products.items():
            result = tried(name, pythons.get(name, sys.executable), folder, verbose=options.verbose)
            print(row(name, label, result), flush=True)


def row(name: str, label: Sequence[str], result: dict[str, Any]) -> str:
    """A line of the table."""
    difference = f"{result['difference']:.1g}" if "difference" in result else "-"
    return f"| {' | '.join((name, result['version'], *label, result['text'], difference))} |"


def main() -> None:
    """Read the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--consumers", nargs="+", choices=list(_TRIALS), default=list(_TRIALS))
    parser.add_argument("--instruments", nargs="+", choices=_INSTRUMENTS, default=_INSTRUMENTS)
    parser.add_argument("--python", action="append", default=[], metavar="CONSUMER=PYTHON")
    parser.add_argument("--size", type=int, default=400, help="pixels on a side of simulated cuts")
    parser.add_argument("--aligned", type=Path, help="products of a run, instead of simulated ones")
    parser.add_argument("--verbose", action="store_true", help="show what the consumers print")
    parser.add_argument("--trial", choices=list(_TRIALS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trial:
        print(_MARK + json.dumps(run_trial(options.trial, options.aligned.resolve())))
    elif options.aligned:
        report({("given", "as given"): options.aligned}, options)
    else:
        with tempfile.TemporaryDirectory() as name:
            products = {}
            for instrument in options.instruments:
                for folder in make(instrument, options.size, Path(name) / instrument):
                    products[instrument, folder.name] = folder
            report(products, options)


if __name__ == "__main__":
    main()
