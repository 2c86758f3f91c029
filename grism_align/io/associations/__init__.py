"""Associations: which exposures belong together, in every form that people have in hand."""

from grism_align.io.associations.apply import apply_association, check_governors
from grism_align.io.associations.models import association_of
from grism_align.io.associations.pipelines import is_by_exposure, of_same_visits
from grism_align.io.associations.read import is_selection, read_association
from grism_align.io.associations.search import exposures_below
from grism_align.io.associations.write import association_text, write_association

__all__ = [
    "apply_association",
    "association_of",
    "association_text",
    "check_governors",
    "exposures_below",
    "is_by_exposure",
    "is_selection",
    "of_same_visits",
    "read_association",
    "write_association",
]
