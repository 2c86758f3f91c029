"""The absolute step with catalogs of services: what it takes, what it refuses, and what stays on record."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from grism_align.io.record.file import read_record
from grism_align.simulation import case_a
from grism_align.steps.absolute_align_step import AbsoluteAlignStep
from grism_align.steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.errors import InputError, SettingsError
from grism_align.values.solution import FitStatus
from tests.support.fields import few_galaxies, make_field, score_of
from tests.support.services import REFUSED
from tests.support.tap_responder import Answer, error_votable, stars, votable

ROLES = {"id": "id", "ra": "ra", "dec": "dec", "pmra": "pmra", "pmdec": "pmdec", "mag": "mag"}


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    return make_field(case_a(size=300, n_pairs=1, scene=few_galaxies(300)), tmp_path_factory.mktemp("field"))


@pytest.fixture(scope="module")
def measured(field):
    steps = {"absolute_align": {"skip": True}, "grism_wcs_propagate": {"skip": True}}
    return GrismAlignPipeline.call(str(field.association), steps=steps, configure_log=False)


@pytest.fixture(scope="module")
def rows(field):
    """What a service has of the field."""
    true = Table.read(field.catalog)
    columns = {name: true[name].tolist() for name in ("ra", "dec", "pmra", "pmdec", "mag")}
    number = len(true)
    return {
        **columns,
        "id": list(range(1, number + 1)),
        "ra_error": [0.5] * number,
        "dec_error": [0.5] * number,
        "ref_epoch": [float(true.meta["epoch"])] * number,
    }


def entry(name, *urls):
    """A service of the user's with some mirrors."""
    columns = "\n".join(f'{role} = "{role}"' for role in stars())
    mirrors = "\n".join(
        f'[[{name}.mirrors]]\nname = "{name}{n}"\nurl = "{url}"\ntable = "stars"'
        for n, url in enumerate(urls)
    )
    return f'[{name}]\ndescription = "Made up"\n[{name}.columns]\n{columns}\n{mirrors}\n'


def align(exposures, tmp_path, *entries, **parameters):
    path = tmp_path / "services.toml"
    path.write_text("\n".join(entries), encoding="utf-8")
    given = {"services": str(path), "retries": 0, "timeout": 20.0, "configure_log": False}
    return AbsoluteAlignStep.call(exposures, **{**given, **parameters})


def outcomes(result):
    return [attempt.outcome for attempt in result.activities[-1].attempts]


def test_a_service_puts_the_field_on_the_sky(field, measured, rows, server, tmp_path):
    server.answer(votable(rows))
    result = align(measured, tmp_path, entry("MINE", server.url), catalog="mine")
    assert {fit.reference for fit in result.absolute.fits.values()} == {"MINE"}
    assert outcomes(result) == ["fetched", "tied"]
    done = GrismWCSPropagateStep.call(result, output_dir=str(tmp_path / "out"), configure_log=False)
    assert score_of(field.truth, tmp_path / "out").keys() == done.total.fits.keys()
    assert max(one.absolute for one in score_of(field.truth, tmp_path / "out").values()) < 5.0
    attempts = read_record(tmp_path / "out" / "field_provenance.asdf").activities[-2].attempts
    assert "SELECT" in attempts[0].query
    assert attempts[0].url.startswith(server.url)
    assert (tmp_path / "out" / "field_refcat.ecsv").is_file()


def test_the_cache_serves_when_the_service_is_gone(measured, rows, server, tmp_path):
    server.answer(votable(rows))
    first = align(measured, tmp_path, entry("MINE", server.url), catalog="MINE")
    server.stop()
    for offline in (False, True):
        again = align(measured, tmp_path, entry("MINE", server.url), catalog="MINE", offline=offline)
        assert outcomes(again) == ["cached", "tied"]
        for key, fit in first.absolute.fits.items():
            np.testing.assert_array_equal(again.absolute[key].transform.shift, fit.transform.shift)


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (None, "unreachable", "MINE"),
        (votable({name: [] for name in stars()}), "no rows", "no source"),
        (error_votable("no such column: ra"), "refused", "no such column"),
        (votable(stars(), "OVERFLOW"), "too many rows", "more rows"),
        (Answer(b"<html>Under maintenance</html>", kind="text/html"), "not understood", "MINE"),
    ],
)
def test_a_service_that_does_not_serve(measured, server, tmp_path, answer, outcome, reason):
    """Every exposure keeps what the relative alignment found, and says why."""
    if answer is not None:
        server.answer(answer)
    url = REFUSED if answer is None else server.url
    result = align(measured, tmp_path, entry("MINE", url), catalog="MINE")
    activity = result.activities[-1]
    assert (activity.outcome, outcomes(result)) == ("failed", [outcome])
    assert reason in activity.note
    assert result.reference_catalog is None
    for key, fit in measured.relative.fits.items():
        assert result.absolute[key].status is FitStatus.FAILED
        assert result.total[key].transform is fit.transform
        assert outcome in result.total[key].reason or reason in result.total[key].reason


def test_auto_takes_the_first_that_ties_everything(measured, rows, server, second_server, tmp_path):
    server.answer(votable(stars(ra=float(rows["ra"][0]), dec=float(rows["dec"][0]))))
    second_server.answer(votable(rows))
    entries = entry("GONE", REFUSED), entry("FEW", server.url), entry("GOOD", second_server.url)
    result = align(measured, tmp_path, *entries, catalog="auto", auto_order="gone, few, good")
    assert outcomes(result) == ["unreachable", "fetched", "not tied", "fetched", "tied"]
    assert result.absolute.reference == "GOOD"
    assert "GONE" in result.activities[-1].note


def test_auto_without_any(measured, tmp_path):
    entries = entry("ONE", REFUSED), entry("TWO", REFUSED)
    result = align(measured, tmp_path, *entries, catalog="auto", auto_order="ONE,TWO")
    assert outcomes(result) == ["unreachable", "unreachable"]
    assert not any(fit.is_aligned for fit in result.absolute.fits.values())


def test_offline_without_a_cache(measured, server, tmp_path):
    result = align(measured, tmp_path, entry("MINE", server.url), catalog="MINE", offline=True)
    assert outcomes(result) == ["not cached"]
    assert "fetch-catalog" in result.activities[-1].note
    assert not server.requests


def test_names_that_are_none(field, tmp_path):
    """Said before any work."""
    asn = str(field.association)
    for given, error, text in (
        ({"catalog": "GAIADR9"}, SettingsError, "GAIADR3"),
        ({"catalog": "auto", "auto_order": "GAIADR3, NOSUCH"}, SettingsError, "NOSUCH"),
        ({"catalog": "auto", "auto_order": " , "}, SettingsError, "auto_order.*no service to try"),
        ({"catalog": "auto", "auto_order": []}, SettingsError, "auto_order.*no service to try"),
        ({"catalog": "auto", "service_url": "localhost/tap"}, SettingsError, "must begin with http"),
        ({"catalog": str(tmp_path)}, InputError, "a folder, not a reference catalog"),
        ({"catalog": "gaia.ecsv"}, InputError, "no such reference catalog"),
        ({"catalog": "GAIADR3", "services": str(tmp_path / "none.toml")}, InputError, "none.toml"),
    ):
        with pytest.raises(error, match=text):
            GrismAlignPipeline.call(asn, steps={"absolute_align": given}, configure_log=False)


def test_paths_and_lists_are_parameters_too(measured, rows, server, tmp_path):
    server.answer(votable(rows))
    path = tmp_path / "mine.toml"
    path.write_text(entry("MINE", server.url), encoding="utf-8")
    result = AbsoluteAlignStep.call(
        measured, services=path, catalog="auto", auto_order=["mine"], configure_log=False
    )
    assert outcomes(result) == ["fetched", "tied"]


def test_a_run_aligned_to_its_own_sources_is_told(field, measured, tmp_path, caplog):
    result = AbsoluteAlignStep.call(measured, catalog=field.catalog, configure_log=False)
    assert "measured on exposures that are to be aligned" not in caplog.text
    GrismWCSPropagateStep.call(result, output_dir=str(tmp_path / "one"), configure_log=False)
    for name in ("field_provenance.asdf", "field_sources.ecsv"):
        caplog.clear()
        again = AbsoluteAlignStep.call(measured, catalog=tmp_path / "one" / name, configure_log=False)
        assert "measured on exposures that are to be aligned to it" in caplog.text
        assert again.activities[-1].outcome == "done"


def test_what_holds_for_all_grism_exposures_is_said_once(measured, tmp_path, caplog):
    result = align(measured, tmp_path, entry("MINE", REFUSED), catalog="MINE")
    caplog.clear()
    done = GrismWCSPropagateStep.call(result, configure_log=False)
    said = [record.message for record in caplog.records if "no reference catalog" in record.message]
    keys = ", ".join(sorted(grism.key for grism in done.grisms))
    assert said == [f"{keys}: ALIGNED no reference catalog (MINE unreachable)"]
