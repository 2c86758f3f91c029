from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from grism_align.algorithms.absolute.selection import field_cones
from grism_align.cli import main
from grism_align.io.catalogs.reference import read_reference_catalog
from grism_align.io.catalogs.services import fetch_catalog, find_service
from grism_align.values.exposure import Chip
from grism_align.values.settings import ReferenceSettings, SelectionSettings, ServiceSettings
from grism_align.workflows.absolute import cached_catalogs
from grism_align.workflows.load import load
from tests.support.associations import FlatSky, write_exposure
from tests.support.tap_responder import Answer, TapResponder, stars, votable


@pytest.fixture
def server():
    with TapResponder() as responder:
        responder.answer(votable(stars(3, 53.0, -27.8)))
        yield responder


@pytest.fixture
def field(tmp_path, monkeypatch, server):
    """Exposures, and a file of services, here and lost, which share a table."""
    monkeypatch.setenv("GRISM_ALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    write_exposure(tmp_path / "field", "iaaa01d1q", 0)
    write_exposure(tmp_path / "field", "iaaa01g1q", 300, "G141")
    columns = ", ".join(f'{role} = "{role}"' for role in stars())
    (tmp_path / "mine.toml").write_text(
        "".join(
            f'[{name}]\ncolumns = {{ {columns} }}\nmirrors = [{{ url = "{url}", table = "{name}" }}]\n'
            for name, url in (("HERE", server.url), ("LOST", "http://127.0.0.1:9/tap"))
        )
    )
    return tmp_path / "field"


def run(field, *options):
    return main(["fetch-catalog", str(field), "--services", "mine.toml", "--retries", "0", *options])


def test_a_later_run_finds_it_in_the_cache(field, server, capsys):
    assert run(field, "--catalog", "here") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith(f"HERE: 3 sources, fetched from {server.url}; {field.parent / 'cache'}")
    assert printed.out.strip().endswith(".ecsv.gz")
    server.stop()
    # As the pipeline asks, with the defaults of its parameters.
    settings = ServiceSettings(services="mine.toml", offline=True)
    cones = field_cones(load(field).direct, SelectionSettings().margin)
    catalog, (attempt,) = fetch_catalog(find_service("HERE", settings), cones, settings)
    assert (len(catalog), attempt.outcome) == (3, "cached")
    assert run(field, "--catalog", "here") == 0
    assert f"HERE: 3 sources, cached from {server.url};" in capsys.readouterr().out


def test_a_plan_says_whether_the_cache_has_it(field, server, capsys):
    words = ["plan", str(field), "--catalog", "here", "--set", "absolute_align.services=mine.toml"]
    assert main(words) == 0
    assert not server.requests
    assert "HERE would be fetched" in capsys.readouterr().out
    assert main([*words, "--offline"]) == 3
    assert "HERE is not in the cache, and offline no service is asked" in capsys.readouterr().out
    assert run(field, "--catalog", "here") == 0
    server.stop()
    for more in ([], ["--offline"]):
        capsys.readouterr()
        assert main([*words, *more]) == 0
        assert "HERE is in the cache" in capsys.readouterr().out


def test_nothing_is_known_to_be_cached_where_no_exposure_has_a_place(field):
    class NoSky(FlatSky):
        def footprint(self):
            return np.full((4, 2), np.nan)

    found, settings = load(field), ServiceSettings(services="mine.toml")
    ask = partial(cached_catalogs, reference=ReferenceSettings(catalog="here"), service=settings, margin=60.0)
    chips = (Chip(1, (1014, 1014), NoSky(0.0, 0.0)),)
    nowhere = replace(found, exposures=tuple(replace(each, chips=chips) for each in found.exposures))
    assert (ask(found), ask(nowhere)) == ({"HERE": False}, {})


def test_refresh_and_cache_dir(field, server, capsys, tmp_path):
    for _ in range(2):
        assert run(field, "--catalog", "HERE", "--refresh", "--cache_dir", str(tmp_path / "other")) == 0
    assert len(server.queries) == 2
    assert str(tmp_path / "other" / "HERE-") in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


def test_the_margin_and_the_limits_are_those_of_the_parameters(field, server):
    run(field, "--catalog", "HERE")
    run(field, "--catalog", "HERE", "--margin", "300", "--max_rows", "50")
    radii = [float(query.split(")")[1].split(", ")[-1]) for query in server.queries]
    assert radii[1] == pytest.approx(radii[0] + (300 - SelectionSettings().margin) / 3600, abs=0.011)
    assert [one.parameters["MAXREC"] for one in server.requests] == ["100001", "51"]


def test_written_as_a_catalog_file(field, capsys):
    assert run(field, "--catalog", "here", "-o", "refcat.ecsv") == 0
    assert "HERE -> refcat.ecsv" in capsys.readouterr().out
    written = read_reference_catalog("refcat.ecsv")
    assert (written.name, len(written), written.epoch.tolist()) == ("HERE", 3, [2016.0] * 3)
    assert run(field, "--catalog", "here", "-o", "refcat.ecsv") == 1
    assert "it exists" in capsys.readouterr().err
    assert run(field, "--catalog", "here", "-o", "refcat.ecsv", "--overwrite") == 0
    assert run(field, "--catalog", "here", "--catalog", "lost", "-o", "other.ecsv") == 1
    assert "2 catalogs for one file" in capsys.readouterr().err


def test_what_can_not_be_had_is_told_and_the_others_come(field, server, capsys):
    options = ["--catalog", "LOST", "--catalog", "HERE", "--catalog", "here"]
    assert run(field, *options) == 3
    printed = capsys.readouterr()
    lost, here = printed.out.splitlines()
    assert lost == "LOST: not got"
    assert here.startswith("HERE: 3 sources")
    assert printed.err.startswith("LOST: http://127.0.0.1:9/tap")
    assert "Connection refused" in printed.err
    server.answer(Answer(b"", status=404))
    assert run(field, *options, "--refresh") == 1
    assert {line.split(":")[0] for line in capsys.readouterr().err.splitlines()} == {
        "LOST",
        "grism-align fetch-catalog",
    }


def test_what_can_not_be_kept_is_a_failure_unless_it_is_written(field, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    nowhere = ["--catalog", "here", "--cache_dir", str(tmp_path / "file" / "cache")]
    assert run(field, *nowhere) == 1
    printed = capsys.readouterr()
    assert "HERE: 3 sources" in printed.out
    assert "HERE came, and can't be kept there" in printed.err
    assert run(field, *nowhere, "-o", "refcat.ecsv") == 0


def test_auto_is_a_list(field, capsys):
    assert run(field, "--catalog", "auto", "--auto_order", "here, lost") == 3
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["HERE", "LOST"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--catalog", "USNOB1"], "no known service; there are GAIADR3 (GAIA, "),
        (["--timeout", "0"], "--timeout 0.0: must be within [0.1, 3600]"),
        (["--margin", "-1"], "--margin -1.0"),
        (["--services", "none.toml"], "none.toml: no such file"),
    ],
)
def test_mistakes(field, server, capsys, options, says):
    assert run(field, *options) == 1
    assert says in capsys.readouterr().err
    assert not server.requests


def test_gaia_is_the_default(field, server, capsys):
    server.answer(votable({**stars(0), "source_id": []}))
    assert run(field, "--service_url", server.url) == 1
    assert "FROM gaiadr3.gaia_source" in server.queries[0]
    assert "GAIADR3" in capsys.readouterr().err


def test_help_has_the_defaults_of_the_parameters(capsys):
    with pytest.raises(SystemExit):
        main(["fetch-catalog", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"(default: {ServiceSettings().max_rows})" in text
    assert f"(default: {SelectionSettings().margin})" in text
    assert "--offline" not in text
