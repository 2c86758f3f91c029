from .io.associations import read_association, write_association
from .io.record.file import read_record
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
from .values.failure import FailureCode, Remark
from .values.field import ExposureSet
from .values.record import ExposureRecord, Record
from .values.solution import AlignmentSolution, ExposureFit, FitStatus
from .values.transform import LinearTransform, TangentPlane
from .workflows.load import load
from .workflows.results.destination import Destination
from .workflows.results.write import write_results

__version__: str

__all__ = [
    "AbsoluteAlignStep",
    "AlignmentError",
    "AlignmentSolution",
    "Association",
    "AssociationError",
    "CatalogServiceError",
    "Destination",
    "Exposure",
    "ExposureFit",
    "ExposureRecord",
    "ExposureSet",
    "FailureCode",
    "FitStatus",
    "GrismAlignError",
    "GrismAlignPipeline",
    "GrismWCSPropagateStep",
    "InputError",
    "LinearTransform",
    "OutputError",
    "Record",
    "RelativeAlignStep",
    "Remark",
    "SettingsError",
    "SourceCatalogStep",
    "TangentPlane",
    "VisitMosaicStep",
    "__version__",
    "load",
    "read_association",
    "read_record",
    "write_association",
    "write_results",
]
