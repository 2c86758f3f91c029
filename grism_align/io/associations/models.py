"""The association that open models make up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.associations.files import check_product_name
from grism_align.io.missions import root_name
from grism_align.io.models.open_models import ModelSource
from grism_align.values.association import Association, Member

if TYPE_CHECKING:
    from grism_align.io.models.open_models import Models


_UNNAMED = "aligned"


def association_of(models: Models) -> Association:
    """Return what open models make up.

    A library's ``group_id`` is the instant at which exposures were taken, and no guide-star acquisition: that
    is read from each.

    Parameters
    ----------
    models : Models
        The models.

    Raises
    ------
    AssociationError
        If a library's product has no name that files can have.
    """
    product = check_product_name(models.product or _UNNAMED, "association of the models")
    members = (
        Member(ModelSource(models, number, name, root_name(name)), exptype)
        for number, (name, exptype) in enumerate(zip(models.names, models.exptypes, strict=True))
    )
    return Association(product, tuple(members))
