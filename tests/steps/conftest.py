"""Simulated fields and their alignments, made once; and no network for any test of a step."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from stpipe import crds_client

from grism_align.simulation import (
    SimulatedExposure,
    SimulatedVisit,
    Simulation,
    Special,
    case_a,
    case_b,
    case_c,
)
from grism_align.steps.pipeline import GrismAlignPipeline
from tests.support.fields import Field, few_galaxies, make_field
from tests.support.plots import have_plots

if TYPE_CHECKING:
    from pathlib import Path

    from grism_align.values.field import ExposureSet
    from tests.support.jwst_models import JwstField

SIZE = 300
SCENE = few_galaxies(SIZE)


@pytest.fixture(autouse=True)
def no_crds(monkeypatch: pytest.MonkeyPatch) -> None:
    """No CRDS settings, CRDS functions that fail, and no connections."""
    for name in ("CRDS_PATH", "CRDS_SERVER_URL", "CRDS_CONTEXT", "STPIPE_DISABLE_CRDS_STEPPARS"):
        monkeypatch.delenv(name, raising=False)

    def refuse(*arguments: object, **keywords: object) -> None:
        pytest.fail("CRDS or the network was asked")

    for name in ("get_multiple_reference_paths", "check_reference_open", "get_reference_file"):
        monkeypatch.setattr(crds_client, name, refuse)
    for name in ("get_context_used", "get_svn_version"):
        monkeypatch.setattr(crds_client, name, refuse, raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def field_a(tmp_path_factory: pytest.TempPathFactory) -> Field:
    """Case A: two visits of a direct and a grism exposure; stars move by 10 mas/yr."""
    return make_field(
        case_a(size=SIZE, n_pairs=1, scene=replace(SCENE, motion=10.0)), tmp_path_factory.mktemp("a")
    )


@pytest.fixture(scope="session")
def field_b(tmp_path_factory: pytest.TempPathFactory) -> Field:
    """Case B: two filters and two grisms."""
    return make_field(case_b(size=SIZE, n_pairs=1, scene=SCENE), tmp_path_factory.mktemp("b"))


@pytest.fixture(scope="session")
def field_c(tmp_path_factory: pytest.TempPathFactory) -> Field:
    """Case C: fewer direct than grism exposures."""
    return make_field(case_c(size=SIZE, scene=SCENE), tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="session")
def two_chip_fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Field]:
    """Case A of the instruments with two chips."""
    return {
        name: make_field(case_a(name, size=(256, 512), n_pairs=1), tmp_path_factory.mktemp(name))
        for name in ("acs_wfc", "wfc3_uvis")
    }


@pytest.fixture(scope="session")
def bad_field(tmp_path_factory: pytest.TempPathFactory) -> Field:
    """Two visits with exposures that can't be aligned, each followed by a grism exposure."""

    def visit(name: str, specials: list[Special], **facts: object) -> SimulatedVisit:
        exposures = [
            exposure
            for special in specials
            for exposure in (
                SimulatedExposure("F140W", 250.0, special=special),
                SimulatedExposure("G141", 600.0),
            )
        ]
        return SimulatedVisit(name, tuple(exposures), **facts)  # type: ignore[arg-type]

    visits = (
        visit("01", [Special.NONE, Special.EMPTY, Special.FLAGGED]),
        visit("02", [Special.NAN, Special.TRAILED], angle=52.0, offset=(4.0, -3.0), start=57061.7),
    )
    simulation = Simulation("wfc3_ir", visits, size=SIZE, scene=SCENE)
    return make_field(simulation, tmp_path_factory.mktemp("bad"))


@pytest.fixture(scope="session")
def output_a(field_a: Field, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExposureSet, Path]:
    """Case A aligned with the true catalog, and a whole report of it: what came of it, and its folder."""
    folder = tmp_path_factory.mktemp("aligned") / "out"
    with pytest.MonkeyPatch.context() as patch:
        have_plots(patch)
        result = GrismAlignPipeline.call(
            str(field_a.association),
            output_dir=str(folder),
            steps={"absolute_align": {"catalog": str(field_a.catalog)}},
            configure_log=False,
        )
    return result, folder


@pytest.fixture(scope="session")
def jwst_field(tmp_path_factory: pytest.TempPathFactory) -> JwstField:
    """Two visits of NIRISS, an image and spectra each; not to be changed."""
    pytest.importorskip("jwst", reason="needs jwst")
    from tests.support import jwst_models as jm

    plan = [{"NIS": ("CLEAR", "F150W")}, {"NIS": ("GR150C", "F150W")}]
    return jm.jwst_field(tmp_path_factory.mktemp("jwst"), [jm.NIS], plan, np.random.default_rng(4))


@pytest.fixture(scope="session")
def jwst_aligned(jwst_field: JwstField, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of these as aligned from files, with the record."""
    out = tmp_path_factory.mktemp("jwst_aligned")
    GrismAlignPipeline.call([str(path) for path in jwst_field.paths], output_dir=str(out))
    return out
