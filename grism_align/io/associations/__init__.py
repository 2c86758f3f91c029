"""Associations: which exposures belong together, in every form that people have in hand."""

from grism_align.io.associations.build import apply_association, build_association, check_governors
from grism_align.io.associations.read import read_association
from grism_align.io.associations.write import write_association

__all__ = [
    "apply_association",
    "build_association",
    "check_governors",
    "read_association",
    "write_association",
]
