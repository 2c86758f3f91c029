from .io.associations import read_association, write_association
from .steps.absolute_align_step import AbsoluteAlignStep
from .steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from .steps.pipeline import GrismAlignPipeline
from .steps.relative_align_step import RelativeAlignStep
from .steps.source_catalog_step import SourceCatalogStep
from .steps.visit_mosaic_step import VisitMosaicStep
from .values.association import Association
from .values.errors import (
    AlignmentError,
    AssociationError,
    CatalogServiceError,
    GrismAlignError,
    InputError,
    OutputError,
    SettingsError,
)
from .values.exposure import Exposure
from .values.field import ExposureSet
from .values.solution import AlignmentSolution, ExposureFit, FitStatus
from .values.transform import LinearTransform, TangentPlane

__version__: str

__all__ = [
    "AbsoluteAlignStep",
    "AlignmentError",
    "AlignmentSolution",
    "Association",
    "AssociationError",
    "CatalogServiceError",
    "Exposure",
    "ExposureFit",
    "ExposureSet",
    "FitStatus",
    "GrismAlignError",
    "GrismAlignPipeline",
    "GrismWCSPropagateStep",
    "InputError",
    "LinearTransform",
    "OutputError",
    "RelativeAlignStep",
    "SettingsError",
    "SourceCatalogStep",
    "TangentPlane",
    "VisitMosaicStep",
    "__version__",
    "read_association",
    "write_association",
]
