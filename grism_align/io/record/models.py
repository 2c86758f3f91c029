"""Corrections as models of astropy, for readers of the record that have no other of these transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.record import parts
from grism_align.io.record.agreement import agree
from grism_align.io.record.layout import LayoutError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from grism_align.values.record import Record
    from grism_align.values.transform import LinearTransform


#: Under which key of a record they are.
MODELS = "models"

#: What they are, in the words of JSON schema and of ASDF.
SCHEMA: dict[str, Any] = {
    "description": "The total correction of each exposure that has one, from RA and Dec in deg before it to "
    f"RA and Dec in deg after it; no entries where there are more than {parts.MOST_AT_ONCE} exposures.",
    "type": "object",
    "additionalProperties": {"tag": "tag:stsci.edu:asdf/transform/compose-1.*"},
}


def models_of(record: Record) -> dict[str, Any]:
    """Return the corrections of a record's exposures as models, by root name.

    Parameters
    ----------
    record : Record
        What is to be written. Of many exposures there are none: a model takes asdf as long as
        hundred numbers of all of them.
    """
    return {key: sky_model(transform) for key, transform in _transforms(record).items()}


def check_models(models: Mapping[str, Any], record: Record) -> None:
    """Refuse models that contradict the transforms, which others may go by.

    Parameters
    ----------
    models : mapping
        As read.
    record : Record
        What was read with them.

    Raises
    ------
    LayoutError
        Naming the model.
    """
    transforms = _transforms(record)
    if models.keys() != transforms.keys():
        msg = "not one for each exposure that has a correction"
        raise LayoutError(msg, [MODELS])
    for key, transform in transforms.items():
        if not agree(np.asarray(models[key].parameters), _parameters(transform)):
            msg = "it contradicts matrix, shift and plane"
            raise LayoutError(msg, [MODELS, key])


def _transforms(record: Record) -> dict[str, LinearTransform]:
    if len(record.exposures) > parts.MOST_AT_ONCE:
        return {}
    totals = {key: one.total for key, one in record.exposures.items()}
    return {key: one.transform for key, one in totals.items() if one and one.transform}


def sky_model(transform: LinearTransform) -> Any:
    """Return a transform as an astropy model from (RA, Dec) to (RA, Dec), deg.

    Parameters
    ----------
    transform : LinearTransform
        The transform.
    """
    from astropy.modeling import models

    plane = (float(transform.plane.ra), float(transform.plane.dec))
    # with the native pole at 180 deg, x and y of the TAN projection are xi and eta, in deg
    return (
        models.RotateCelestial2Native(*plane, 180.0)
        | models.Sky2Pix_TAN()
        | models.AffineTransformation2D(matrix=transform.matrix.copy(), translation=transform.shift / 3600.0)
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(*plane, 180.0)
    )


def _parameters(transform: LinearTransform) -> NDArray[np.float64]:
    """Return the parameters of that model, in the order in which it has them."""
    pole = (transform.plane.ra, transform.plane.dec, 180.0)
    return np.array([*pole, *transform.matrix.ravel(), *(transform.shift / 3600.0), *pole])
