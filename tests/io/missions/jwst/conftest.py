from __future__ import annotations

import numpy as np
import pytest

FILTERS = {
    "image": ("NIS", ("CLEAR", "F150W")),
    "dispersed": ("NIS", ("GR150R", "F150W")),
    "short": ("NRCA4", ("F150W2", "F162M")),
    "long": ("NRCALONG", ("F356W", "GRISMR")),
}


@pytest.fixture(scope="session")
def paths(tmp_path_factory):
    """An exposure of each kind; not to be changed."""
    pytest.importorskip("jwst", reason="needs jwst")
    from tests.support import jwst_models as jm

    folder, rng, found = tmp_path_factory.mktemp("jwst"), np.random.default_rng(1), {}
    detectors = {one.name: one for one in (jm.NIS, jm.LONG, jm.SHORT_4)}
    stars = np.array([[*jm.CENTER, 9000.0]])
    for number, (kind, (name, filters)) in enumerate(FILTERS.items(), start=1):
        detector = detectors[name]
        true = jm.attitude(detector.place, *jm.CENTER, 33.0)
        # both channels of NIRCam at one time
        shot = jm.Shot(1, min(number, 3), true, true, {name: filters})
        model = jm.exposed(jm.model_of(detector, shot), detector, shot, stars, rng)
        model.dq[3, 4:7] = 1, 2, 3
        model.data[3, 4] = np.nan
        found[kind] = folder / model.meta.filename
        model.save(found[kind])
    return found


@pytest.fixture
def edit(tmp_path):
    """A function that copies a file, with other metadata, by their place in the model."""

    def edited(path, name="", **changes):
        from stdatamodels.jwst import datamodels

        target = tmp_path / (name or path.name)
        with datamodels.open(path) as model:
            for place, value in changes.items():
                node, *rest = reversed(place.split("__"))
                parent = model.meta
                for one in reversed(rest):
                    parent = getattr(parent, one)
                setattr(parent, node, value)
            filename = changes.get("filename", model.meta.filename)
            model.save(target)
        if "filename" in changes:
            from astropy.io import fits

            fits.setval(target, "FILENAME", value=filename)
        return target

    return edited
