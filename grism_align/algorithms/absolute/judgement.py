"""Whether a joint solution with a catalog is to be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.epoch import positions_at
from grism_align.algorithms.absolute.frame_tie import require_right_epoch
from grism_align.algorithms.fitting.design import REFERENCE
from grism_align.algorithms.fitting.fit import axis_means, axis_rms, leverage, weighted_rms
from grism_align.algorithms.fitting.joint import LEAST_WEIGHT
from grism_align.algorithms.matching.chance import PairedLists, Targets, false_match_probability
from grism_align.values.errors import AlignmentError, TooFewMatchesError, UnreliableMatchError
from grism_align.values.failure import AcquisitionsDisagree, ChanceMatch, TooFewStarsKept
from grism_align.values.solution import ExposureFit, FitStatus, Residuals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.absolute.measured import MeasuredSources
    from grism_align.algorithms.absolute.measurements import Solved, TiedFrame
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.settings import MatchSettings
    from grism_align.values.transform import TangentPlane


# Share of a frame's reference stars that must keep their weight. Of honest fields three in four did.
_LEAST_SHARE = 0.5


class Verdict:
    """Tells how exposures, and frames of them, agree with the catalog.

    A source that the catalog knows well follows it, so its residual says little. What is judged of a frame
    is where its exposures alone put the source minus where the catalog has it; what is on record of an
    exposure is where that one puts it.
    """

    def __init__(
        self, solved: Solved, catalog: ReferenceCatalog, plane: TangentPlane, match: MatchSettings
    ) -> None:
        measured, solution = solved.tied.measured, solved.solution
        rows = measured.pointing == REFERENCE
        variance = measured.error**2 + solution.scatter[measured.noise_class] ** 2
        inverse = np.maximum(solution.weight, LEAST_WEIGHT) / variance
        total = np.bincount(measured.source, inverse)[measured.source[rows]]
        alone = np.maximum(total - inverse[rows], 1e-3 * LEAST_WEIGHT * total)
        used = (solution.weight[rows] > 0) & (alone > 1e-6 * total)
        self._solved, self._catalog, self._plane, self._match = solved, catalog, plane, match
        self._rows = np.flatnonzero(rows)
        self._star = np.full(len(solution.source_xy), -1)
        self._star[measured.source[self._rows]] = np.arange(len(self._rows))
        self._by_key = _rows_by_key(solved.tied.key)
        self._residual = -solution.residual[rows] * (total / alone)[:, None]
        self._weight = np.where(used, solution.weight[rows], 0.0)
        self._expected = measured.error[rows] ** 2 + 1.0 / alone

    def require(self, members: Sequence[int], frame: TiedFrame, sources: Sequence[MeasuredSources]) -> float:
        """Return the probability that chance ties a frame; AlignmentError if it is not tied after all."""
        measured, limit = self._solved.tied.measured, self._match.max_false_match
        mine = np.unique(measured.source[np.isin(measured.pointing, members)])
        at = np.flatnonzero(np.isin(measured.source[self._rows], mine))
        used = at[self._weight[at] > 0]
        least = max(self._match.min_matches, int(np.ceil(_LEAST_SHARE * len(at))))
        if len(used) < least:
            raise TooFewMatchesError(TooFewStarsKept(len(used), len(at), least))
        partner, residual = self._catalog[self._solved.tied.rows[at]], self._residual[at]
        require_right_epoch(residual, partner, self._weight[at] / self._expected[at], self._plane)
        self._require_visits(members)
        probability = max(frame.tie.probability, self._chance(used, frame, sources))
        if probability > limit:
            raise UnreliableMatchError(ChanceMatch(len(used), probability, limit))
        return probability

    def _require_visits(self, members: Sequence[int]) -> None:
        """Refuse a frame half of whose acquisitions see most reference stars where the others don't.

        Wrong motions do that: the stars are where they should be at the epoch of some, and there alone.
        """
        measured = self._solved.tied.measured
        of_star = np.isin(measured.source, measured.source[self._rows])
        mine = np.flatnonzero(of_star & np.isin(measured.pointing, members))
        group = measured.acquisitions[measured.pointing[mine]]
        total = np.bincount(group)
        kept = np.bincount(group, self._solved.solution.weight[mine] > 0)
        judged = total >= 2 * self._match.min_matches
        lost = np.flatnonzero(judged & (kept <= _LEAST_SHARE * total))
        if len(lost) and 2 * len(lost) >= judged.sum():
            worst = lost[np.argmin(kept[lost] / total[lost])]
            numbers = len(lost), int(judged.sum()), int(kept[worst]), int(total[worst])
            raise AlignmentError(AcquisitionsDisagree(*numbers))

    def _chance(self, used: NDArray[np.int64], frame: TiedFrame, sources: Sequence[MeasuredSources]) -> float:
        """Return the probability that chance makes the agreement that is left, with a frame's sources."""
        tied = self._solved.tied
        stars = tied.rows[used]
        year = float(np.mean([one.time for one in sources]))
        reference = self._plane.to_plane(positions_at(self._catalog, year))
        # All at one epoch, or motions would pass for scatter.
        placed = reference[stars] + self._residual[used]
        # A star that moved may be several sources of the relative frame.
        measured = tied.measured
        theirs = tied.number[np.isin(measured.source, measured.source[self._rows[used]])]
        number = np.concatenate([one.number for one in sources])
        _, first = np.unique(number, return_index=True)
        first = first[(number[first] >= 0) & ~np.isin(number[first], theirs)]
        rest = np.concatenate([one.xy for one in sources])[first]
        lists = PairedLists(
            np.concatenate([placed, rest]),
            Targets(reference),
            np.arange(len(used)),
            len(used),
            frame.tie.radius,
        )
        return false_match_probability(lists, self._match, with_roll=True)

    def fit(self, key: str) -> ExposureFit:
        """Tell of one exposure's fit by its own measurements of reference stars; without a transform."""
        measured, solution, tied = self._solved.tied.measured, self._solved.solution, self._solved.tied
        row_of = self._star
        own = self._by_key.get(key, np.zeros(0, np.int64))
        at = own[row_of[measured.source[own]] >= 0]
        star = row_of[measured.source[at]]
        residual = solution.residual[at] - solution.residual[self._rows[star]]
        weight = np.where(self._weight[star] > 0, solution.weight[at], 0.0)
        given = np.hypot(measured.error[at], measured.error[self._rows[star]])
        used = weight > 0
        chi2 = axis_means((residual / given[:, None]) ** 2, weight)
        names = self._catalog.identifier[tied.rows[star]]
        return ExposureFit(
            status=FitStatus.ALIGNED,
            transform=None,
            reference=self._catalog.name,
            n_matched=len(at),
            n_used=int(used.sum()),
            rms=1e3 * weighted_rms(residual, weight),
            rms_axes=axis_rms(1e3 * residual, weight),
            reduced_chi2=float(np.mean(chi2)),
            reduced_chi2_axes=chi2,
            leverage=leverage(np.where(used, given**-2.0, 0.0)),
            residuals=Residuals(tied.number[at], names, 1e3 * residual, weight, 1e3 * given),
        )


def _rows_by_key(key: NDArray[np.str_]) -> dict[str, NDArray[np.int64]]:
    """Return the measurements of each exposure."""
    names, number = np.unique(key, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    ends = np.searchsorted(number.ravel()[order], np.arange(1, len(names)))
    return dict(zip(names.tolist(), np.split(order, ends), strict=True))
