from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from grism_align.cli import main
from grism_align.io.catalogs.shift_table import read_shifts
from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.simulation import case_a, simulate
from grism_align.values.errors import InputError
from grism_align.values.solution import FitStatus
from grism_align.workflows.user_shifts import plan_shifts, user_transform
from tests.support.aligned_fields import all_bytes, wcs_names
from tests.support.fields import EMPTY, SMALL, wcs_apart

D1, G1, D2, G2 = KEYS = ["idem01a1q", "idem01a2q", "idem02a1q", "idem02a2q"]


def raw_field(folder, instrument="wfc3_ir", **keywords):
    simulation = replace(case_a(instrument, SMALL[instrument], n_pairs=1, **keywords), scene=EMPTY)
    simulate(simulation, folder, np.random.default_rng(2))
    return folder


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two visits of a direct and a grism exposure."""
    return raw_field(tmp_path_factory.mktemp("shift") / "raw")


@pytest.fixture
def shift(raw, tmp_path):
    """Run the command on a table of rows; the folder of the products."""

    def run(text, *options, files=raw, folder="out", status=0):
        table = tmp_path / "mine.csv"
        table.write_text(text)
        words = ["shift", str(table), str(files), "--output_dir", str(tmp_path / folder), *options]
        assert main(words) == status
        return tmp_path / folder

    return run


def file_of(folder, key):
    return next(folder.glob(f"{key}_fl?.fits"))


def astropy_wcs(path, chip=1):
    with fits.open(path) as hdus:
        return WCS(hdus["SCI", chip].header, hdus)


def moves(before, after, key, xy):
    """East and north, mas, by which pixels (N, 2) lie elsewhere than before, by astropy alone."""
    one, other = (
        SkyCoord(*astropy_wcs(file_of(folder, key)).all_pix2world(*np.transpose(xy), 0), unit="deg")
        for folder in (before, after)
    )
    return np.transpose([offset.to_value(u.mas) for offset in one.spherical_offsets_to(other)])


# --- signs ---


def reference_pixel(folder, key):
    return np.array(astropy_wcs(file_of(folder, key)).wcs.crpix) - 1


def test_dra_and_ddec_are_added_to_positions(raw, shift):
    out = shift(f"exposure,dra,ddec\n{D1},0.5,-0.2\n")
    np.testing.assert_allclose(moves(raw, out, D1, [reference_pixel(raw, D1)]), [[500, -200]], atol=1e-3)
    # 1.3" off the reference point nothing differs but the direction of north
    corners = [[0, 0], [95, 0], [0, 95], [95, 95]]
    np.testing.assert_allclose(moves(raw, out, D1, corners), [[500, -200]] * 4, atol=0.02)


def test_dx_and_dy_are_added_to_pixels(raw, shift):
    out = shift(f"exposure,dx,dy\n{D1},0.4,-0.3\n")
    x, y = reference_pixel(raw, D1)
    before, after = (astropy_wcs(file_of(folder, D1)) for folder in (raw, out))
    was = SkyCoord(*before.all_pix2world(x + 0.4, y - 0.3, 0), unit="deg")
    now = SkyCoord(*after.all_pix2world(x, y, 0), unit="deg")
    # what is left is the distortion over half a pixel
    assert was.separation(now).mas < 1e-3


def test_roll_is_growth_of_position_angles(raw, shift):
    out = shift(f"exposure,roll\n{D1},0.3\n")
    x, y = reference_pixel(raw, D1)
    far = np.array([[x + 300, y], [x, y + 300], [x - 200, y - 100]])
    for point in far:
        angles = []
        for folder in (raw, out):
            wcs = astropy_wcs(file_of(folder, D1))
            origin = SkyCoord(*wcs.all_pix2world(x, y, 0), unit="deg")
            angles.append(origin.position_angle(SkyCoord(*wcs.all_pix2world(*point, 0), unit="deg")))
        grown = (angles[1] - angles[0]).wrap_at("180d").deg
        assert grown == pytest.approx(0.3, abs=1e-5)
    with fits.open(file_of(raw, D1)) as one, fits.open(file_of(out, D1)) as other:
        grown = other[1].header["ORIENTAT"] - one[1].header["ORIENTAT"]
        assert grown == pytest.approx(0.3, abs=1e-4)


def test_scale_is_growth_of_distances(raw, shift):
    out = shift(f"exposure,scale\n{D1},1.002\n")
    x, y = reference_pixel(raw, D1)
    lengths = []
    for folder in (raw, out):
        wcs = astropy_wcs(file_of(folder, D1))
        origin, end = (SkyCoord(*wcs.all_pix2world(*p, 0), unit="deg") for p in ((x, y), (x + 200, y + 90)))
        lengths.append(origin.separation(end).arcsec)
    assert lengths[1] / lengths[0] == pytest.approx(1.002, abs=1e-8)


def test_two_chips_move_as_one(tmp_path, shift):
    acs = raw_field(tmp_path / "acs", "acs_wfc", n_visits=1)
    visit = next(acs.glob("*_flc.fits")).name[:6]
    out = shift(f"visit,dx,dy,roll\n{visit},1.0,2.0,0.01\n", files=acs)
    exposures = [read_exposure(path) for path in acs.glob("*_flc.fits")]
    home = next(exposure for exposure in exposures if exposure.is_direct)
    for exposure in exposures:
        row = read_shifts(tmp_path / "mine.csv")[0]
        wanted = user_transform(row, home)
        moved = read_exposure(out / exposure.source.name)
        for chip, written in zip(exposure.chips, moved.chips, strict=True):
            ny, nx = chip.shape
            xy = np.array([[0, 0], [nx - 1, ny - 1]])
            apart = wanted.plane.to_plane(written.wcs.to_sky(xy)) - wanted.plane.to_plane(
                wanted.apply_to_sky(chip.wcs.to_sky(xy))
            )
            assert np.abs(apart).max() < 1e-5


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ("dra,ddec,roll,scale\n{},3.1,-2.2,0.05,1.0002", "dra,ddec,roll,scale\n{},{},{},-0.05,{}"),
        ("dx,dy\n{},4.2,-7.3", "dx,dy\n{},-4.2,7.3"),
    ],
)
def test_there_and_back_is_where_it_was(raw, shift, tmp_path, there, back):
    out = shift("exposure," + there.format(D1))
    # the second is about the point that the first moved
    values = (-3.1, 2.2, 1 / 1.0002) if "dra" in there else ()
    home = shift("exposure," + back.format(D1, *values), files=file_of(out, D1), folder="home")
    assert wcs_apart(file_of(raw, D1), file_of(home, D1)) < 0.01


@pytest.mark.parametrize(
    "row", ["dra,ddec,roll,scale\nidem01,0.4,-0.1,0.05,1.0003", "dx,dy,roll\nidem01,3,1,0.05"]
)
@pytest.mark.parametrize("options", [(), ("--propagate",)])
def test_a_visit_moves_as_one(raw, shift, row, options):
    """A direct and a grism exposure: one map of the sky, about the direct one's reference point."""
    out = shift(f"visit,{row}\n", *options)
    exposures = [[read_exposure(file_of(folder, key)) for folder in (raw, out)] for key in (D1, G1)]
    plane = exposures[0][0].plane
    sky = plane.to_sky([[0, 0], [4, 4], [-4, 2]])
    moved = [
        plane.to_plane(after.chips[0].wcs.to_sky(before.chips[0].wcs.to_pixel(sky)))
        for before, after in exposures
    ]
    # the reference points differ, by which the exposures came apart when each turned about its own
    assert not plane.coincides(exposures[1][0].plane)
    # two planes 1" apart differ by 1e-5 mas over the chip; a pixel is found from the sky to 1e-6
    assert 1e3 * np.abs(moved[0] - moved[1]).max() < 1e-3
    wanted = [400, -100] if "dra" in row else 1e3 * 3600 * exposures[0][0].chips[0].wcs.cd @ [3, 1]
    np.testing.assert_allclose(1e3 * moved[0][0], wanted, atol=1e-3)


# --- which row ---


def test_rows_of_exposures_go_before_rows_of_visits(raw, shift, capsys):
    out = shift(f"exposure,visit,dra,ddec\n,idem01,0.1,0.0\n{D1.upper()}_flt.fits,,0.3,0.0\n")
    middle = [reference_pixel(raw, D1)]
    np.testing.assert_allclose(moves(raw, out, D1, middle), [[300, 0]], atol=1e-3)
    np.testing.assert_allclose(moves(raw, out, G1, middle), [[100, 0]], atol=0.02)
    assert not list(out.glob("idem02*"))
    printed = capsys.readouterr().out
    assert f"Not in the table, keep their WCS and are not written: {D2}, {G2}" in printed
    assert "row of visit idem01" in printed
    assert f"2 exposures -> {out}" in printed


def test_propagation(raw, shift, tmp_path):
    text = f"exposure,visit,dra,ddec\n{D1},,0.3,0.1\n{D2},,-0.2,0.0\n,idem02,0.7,0.7\n"
    out = shift(text, "--propagate")
    for key, wanted in ((D1, [300, 100]), (G1, [300, 100]), (D2, [-200, 0]), (G2, [-200, 0])):
        moved = moves(raw, out, key, [[48, 48]])
        np.testing.assert_allclose(moved, [wanted], atol=0.05)
    tree = read_record(next(out.glob("*_provenance.asdf")))
    assert tree.exposures[G1].total.governed.exposures == (D1,)
    # a grism exposure's own row stays, and one whose direct exposure has none keeps its WCS
    plain = shift(f"exposure,dra,ddec\n{D1},0.3,0.1\n{G1},0.5,0.5\n", "--propagate", folder="own")
    np.testing.assert_allclose(moves(raw, plain, G1, [[48, 48]]), [[500, 500]], atol=0.05)
    assert not list(plain.glob("idem02*"))


def test_grism_exposures_alone(raw, shift):
    out = shift(f"exposure,dra,ddec\n{G1},0.5,0.5\n", files=file_of(raw, G1))
    assert wcs_names(out, [f"{G1}_flt.fits"])[0].endswith("FIT_REL_USER")


# --- the record ---


def test_the_record_is_that_of_the_user(raw, shift, tmp_path):
    out = shift("visit,dx,dy,dx_error,roll,roll_error\nidem01,1,0,0.05,0.01,0.001\n")
    tree = read_record(next(out.glob("*_provenance.asdf")))
    assert tree.references.absolute == "USER"
    assert tree.activities[-1].step == "shift"
    assert tree.activities[-1].counts == {"rows": 1, "shifted": 2, "propagated": 0, "kept": 2}
    total = tree.exposures[D1].total
    assert (total.status, total.reference, total.given_by) == (
        FitStatus.ALIGNED,
        "USER",
        "row of visit idem01",
    )
    assert tree.exposures[D1].displacement.roll == pytest.approx(0.01)
    exposure = read_exposure(file_of(raw, D1))
    variance = np.trace(total.transform.covariance[:2, :2])
    assert variance == pytest.approx((0.05 * 3600 * np.hypot(*exposure.chips[0].wcs.cd[:, 0])) ** 2)
    assert total.transform.covariance[3][3] == pytest.approx(np.radians(0.001) ** 2, rel=1e-3)
    # and serves for files fetched anew
    again = tmp_path / "again"
    record = str(next(out.glob("*_provenance.asdf")))
    files = [str(file_of(raw, key)) for key in (D1, G1)]
    assert main(["apply", record, *files, "--output_dir", str(again)]) == 0
    assert max(wcs_apart(file_of(out, key), file_of(again, key)) for key in (D1, G1)) <= 1e-6


@pytest.mark.parametrize("form", ["ecsv", "fits", "csv"])
def test_units_of_columns(raw, tmp_path, form):
    table = Table({"Visit": ["idem01"], "DRA": [250.0], "DDEC": [-0.2], "roll": [36.0]})
    if form != "csv":
        table["DRA"].unit, table["DDEC"].unit, table["roll"].unit = u.mas, u.arcsec, u.arcsec
    path = tmp_path / f"mine.{form}"
    table.write(path, format={"ecsv": "ascii.ecsv", "csv": "ascii.csv"}.get(form, form))
    (row,) = read_shifts(path)
    wanted = ([250.0, -0.2], 36.0) if form == "csv" else ([0.25, -0.2], 0.01)
    np.testing.assert_allclose(row.shift, wanted[0])
    assert row.roll == pytest.approx(wanted[1])


def test_errors_follow_the_transform(raw):
    """The covariance is what a small change of each number does."""
    exposure = read_exposure(file_of(raw, D1))
    row = next(iter(_rows(exposure, roll=0.02, scale=1.001, errors={"roll": 0.003, "scale": 2e-4})))
    found = user_transform(row, exposure).covariance[2:, 2:]
    steps = [
        user_transform(replace(row, roll=row.roll + 0.003), exposure).matrix,
        user_transform(replace(row, scale=row.scale + 2e-4), exposure).matrix,
    ]
    changes = [(step - user_transform(row, exposure).matrix).ravel() for step in steps]
    wanted = sum(np.outer(change, change) for change in changes)
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())


def _rows(exposure, **values):
    from grism_align.io.catalogs.shift_table import ShiftRow

    yield ShiftRow("exposure", exposure.key, np.zeros(2), **values)


# --- what is refused before any work ---


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"exposure,dra,ddec,colour\n{D1},1,1,2\n", "columns that are not known: colour"),
        ("name,dra,ddec\nx,1,1\n", "columns that are not known: name"),
        ("dra,ddec\n1,1\n", "no column exposure or visit"),
        (f"exposure,dra\n{D1},1\n", "no column ddec"),
        (f"exposure,dx,dra,ddec\n{D1},1,1,1\n", "both on the sky"),
        (f"exposure,roll,scale_error\n{D1},1,1\n", "scale_error without scale"),
        (f"exposure,visit\n{D1},\n", "no correction"),
        ("exposure,roll\n", "it has no row"),
        (
            f"exposure,roll\n{D1},nan\n",
            "roll of row 1 is missing or not finite. Give a number in each row; 0",
        ),
        (f"exposure,dra,ddec\n{D1},1,1\n{G1},,1\n", "dra of row 2 is missing"),
        (f"exposure,roll\n{D1},east\n", "column roll can't be used"),
        (f"exposure,roll,roll_error\n{D1},1,-1\n", "roll_error of row 1 is negative"),
        (f"exposure,scale\n{D1},0\n", "scale of row 1 is 0. Give the factor"),
        (f"exposure,dra,ddec\n{D1},412,-85\n", "dra of row 1 is 412 arcsec, more than 300"),
        (f"exposure,roll\n{D1},400\n", "roll of row 1 is 400 deg, more than 45"),
        (f"exposure,roll\n{D1},1\n{D1}_flt.fits,2\n", "rows 1 and 2 are both for exposure idem01a1q"),
        (f"exposure,visit,roll\n{D1},idem01,1\n", "row 1 names an exposure and a visit"),
        (f"exposure,visit,roll\n{D1},,1\n,,1\n", "row 2 names nothing"),
        ("exposure,roll\nidem09a1q,1\n", "no file given is of exposure idem09a1q"),
        ("visit,roll\nidem09,1\n", "no file given is of visit idem09"),
    ],
)
def test_tables_that_are_refused(raw, shift, tmp_path, capsys, text, says):
    before = all_bytes(raw)
    shift(text, status=1)
    printed = capsys.readouterr()
    assert printed.err.startswith(f"grism-align shift: {tmp_path / 'mine.csv'}: ")
    assert says in printed.err
    assert printed.out == ""
    assert all_bytes(raw) == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_a_unit_of_another_kind(raw, tmp_path):
    table = Table({"exposure": [D1], "dra": [1.0] * u.pix, "ddec": [1.0] * u.arcsec})
    table.write(tmp_path / "mine.ecsv", format="ascii.ecsv")
    with pytest.raises(InputError, match=r"column dra can't be used \(its unit is pix\)"):
        plan_shifts(tmp_path / "mine.ecsv", [raw])


def test_no_table_and_no_destination(raw, tmp_path, capsys):
    assert main(["shift", str(tmp_path / "no.csv"), str(raw), "--output_dir", str(tmp_path / "o")]) == 1
    assert "no such table of corrections" in capsys.readouterr().err
    assert main(["shift", str(tmp_path / "no.csv"), str(raw)]) == 1
    assert "give the folder of the products, or --in-place" in capsys.readouterr().err


def test_in_place_does_not_add_up_unasked(raw, tmp_path, capsys):
    copy = shutil.copytree(raw, tmp_path / "copy")
    table = tmp_path / "mine.csv"
    table.write_text("visit,roll\nidem01,0.1\nidem02,0.1\n")
    command = ["shift", str(table), str(copy), "--in_place"]
    assert main(command) == 0
    before = all_bytes(copy)
    for files in (copy, next(copy.glob("*_asn.json"))):
        capsys.readouterr()
        assert main(["shift", str(table), str(files), "--in_place"]) == 1
        assert "_provenance.asdf: " in capsys.readouterr().err
    assert all_bytes(copy) == before
    # one that was cut short: its record finishes it
    done = shutil.copytree(copy, tmp_path / "done")
    shutil.copy(file_of(raw, G2), copy)
    record = str(next(copy.glob("*_provenance.asdf")))
    assert main(["apply", record, str(copy), "--in_place", "--output_dir", str(tmp_path / "finished")]) == 0
    assert "3 have their correction already" in capsys.readouterr().out
    assert max(wcs_apart(file_of(done, key), file_of(copy, key)) for key in KEYS) <= 1e-6
