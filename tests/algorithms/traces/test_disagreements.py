"""What traces say of corrections, noted on the fits."""

import numpy as np
import pytest

from grism_align.algorithms.traces.disagreements import with_disagreements
from grism_align.algorithms.traces.model import NOT_NEAR
from grism_align.algorithms.traces.offsets import TraceOffsets
from grism_align.algorithms.traces.verification import GrismOffsets, TraceVerification
from grism_align.values.failure import FailureCode
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform, TangentPlane

KEYS = ("one", "other", "third")


def noted(offsets, notes):
    offset = np.array(offsets)
    n = len(offset)
    told = TraceOffsets(offset, 0.005**2 * np.eye(n), np.full(n, 20), np.zeros(2), np.eye(2), {}, 0.05, 0.1)
    fit = ExposureFit(FitStatus.ALIGNED, LinearTransform.identity(TangentPlane(10.0, 5.0)))
    found = GrismOffsets(KEYS, told, np.zeros(n), "", {}, notes)
    solution = AlignmentSolution(dict.fromkeys(KEYS, fit))
    return with_disagreements(solution, TraceVerification({}, (found,)), 3.0).fits


@pytest.mark.parametrize(
    ("offsets", "note", "status"),
    [
        ([0.0, 0.0, np.nan], f"{NOT_NEAR} of where the others have it", FitStatus.PRIOR_ONLY),
        ([0.0, 0.0, np.nan], "no trace bright and isolated enough", FitStatus.ALIGNED),
        # nobody has it there: the configuration is wrong, not the exposure
        ([np.nan, np.nan, np.nan], f"{NOT_NEAR} of where some.conf has it", FitStatus.ALIGNED),
    ],
)
def test_an_exposure_without_traces_where_others_have_them_is_not_aligned(offsets, note, status):
    fits = noted(offsets, {"third": note})
    assert fits["third"].status is status
    codes = [each.code for each in fits["third"].remarks]
    assert (FailureCode.SPECTRA_ELSEWHERE in codes) == (status is FitStatus.PRIOR_ONLY)
    assert fits["one"].status is FitStatus.ALIGNED
