"""Normal equations of a joint solution, its sources eliminated, and their solution in a frame.

The equations are never put together as a whole: a few neighbouring sources at a time add a small dense matrix
to the front in which the first pointing that saw one of them is eliminated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from grism_align.algorithms.fitting.assembly import Entries, SourceBlocks
from grism_align.algorithms.fitting.dissection import Dissection, dissected
from grism_align.algorithms.fitting.elimination import Elimination
from grism_align.algorithms.fitting.systematics import cells_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.design import Design
    from grism_align.algorithms.fitting.joint import Measurements
    from grism_align.algorithms.fitting.prior import PointingPrior
    from grism_align.algorithms.fitting.sources import SourceUnknowns


class NormalSystem:
    """What the equations of any weights have in common: which unknowns are tied, and in which order they go.

    Parameters
    ----------
    measured : Measurements
        M measurements.
    design : Design
        Their derivatives by P corrections.
    prior : PointingPrior or None
        Any of those that are to come.
    """

    def __init__(self, measured: Measurements, design: Design, prior: PointingPrior | None) -> None:
        self._observed = measured.xy.T.ravel()
        self._design = design
        self._frame = _frame_constraints(measured, design)
        self._n_moves = 2 + design.n_terms if prior is not None and measured.is_unanchored else 0
        owner = np.concatenate([design.owners(measured.acquisitions), np.full(self._n_moves, -1)])
        self._dissection = dissected(_tied(measured), _places(measured), owner)
        self._blocks = SourceBlocks(measured, design, self._dissection)
        pairs = [
            design.pairs,
            *(np.array([np.repeat(i, len(i)), np.tile(i, len(i))]) for i, _ in self._frame),
        ]
        if prior is not None:
            pairs.append(np.array(prior.precision_entries(design.n_terms)[:2]))
        size, c = design.size + self._n_moves, self._n_moves
        pairs.append(np.array([np.repeat(np.arange(size), c), np.tile(design.size + np.arange(c), size)]))
        self._entries = Entries(np.concatenate(pairs, axis=1), self._dissection)

    def equations(self, sources: SourceUnknowns, prior: PointingPrior | None) -> NormalEquations:
        """Set up the equations for given weights.

        Parameters
        ----------
        sources : SourceUnknowns
            The sources' unknowns, and the weights.
        prior : PointingPrior or None
            What is known beforehand. Where nobody knows the common moves of all pointings, these are unknowns
            of their own, which makes it blind to them.
        """
        design, size = self._design, self._design.size + self._n_moves
        measured = design.products(sources.weight)
        right = np.zeros(size)
        right[: design.size] = -(design.matrix.T @ sources.left_of(self._observed))
        diagonal = _diagonal(design.pairs, measured, size)
        known = np.zeros(0)
        if prior is not None:
            known, own, pull = self._of_prior(prior)
            diagonal, right = diagonal + own, right + pull
        # A roll in arcsec per arcsec and a shift in arcsec differ by orders of magnitude.
        scale = 1.0 / np.sqrt(np.maximum(diagonal, 1e-300))
        frame = np.zeros((len(self._frame), size))
        fixed = []
        for row, (at, elements) in zip(frame, self._frame, strict=True):
            norm = np.linalg.norm(elements * scale[at])
            row[at] = elements * scale[at] / norm
            fixed.append(np.outer(elements, elements).ravel() / norm**2)
        entries = self._entries.of(np.concatenate([measured, *fixed, known]), scale)
        blocks = self._blocks.of(sources, scale)
        elimination = Elimination(self._dissection, lambda number: blocks(number, entries(number)))
        return NormalEquations(self._dissection, elimination, scale, frame, right, design.size)

    def _of_prior(
        self, prior: PointingPrior
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the elements that a prior adds, its diagonal (P + C,) and its right side (P + C,)."""
        n_terms, c = self._design.n_terms, self._n_moves
        *pairs, elements = prior.precision_entries(n_terms)
        diagonal = _diagonal(np.array(pairs), elements, self._design.size)
        so_far = prior.so_far(n_terms)
        right = -prior.weighed(so_far[:, None], n_terms)[:, 0]
        if c == 0:
            return elements, diagonal, right
        moves = prior.common_moves(n_terms)
        weighed = prior.weighed(moves, n_terms)
        cost = moves.T @ weighed
        elements = np.concatenate([elements, weighed.ravel(), cost.ravel()])
        return elements, np.append(diagonal, np.diag(cost)), np.append(right, -weighed.T @ so_far)


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Normal equations of P corrections for given weights, and of C common moves where these are unknown.

    Parameters
    ----------
    dissection : Dissection
        The order of the unknowns.
    elimination : Elimination
        The equations, with the frame's constraints as one more measurement.
    scale : (P + C,) ndarray
        Unit of each unknown in them.
    frame : (F, P + C) ndarray
        The constraints: rows whose products with the unknowns are zero, in these units.
    right : (P + C,) ndarray
        Right side.
    size : int
        P.

    Notes
    -----
    The constraints, taken as one more measurement, make the system definite; conditioning on them then
    makes them exact. What neither tells (the roll of a group of one source) stays zero.
    """

    dissection: Dissection
    elimination: Elimination
    scale: NDArray[np.float64]
    frame: NDArray[np.float64]
    right: NDArray[np.float64]
    size: int

    @cached_property
    def tied(self) -> NDArray[np.float64]:
        """Inverse times the constraints, (P + C, F)."""
        return self.elimination.solve(self.frame.T)

    @cached_property
    def held(self) -> NDArray[np.float64]:
        """What, times `tied`, is to be taken off the inverse, (F, P + C)."""
        return np.asarray(np.linalg.solve(self.frame @ self.tied, self.tied.T))

    def solved(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solve for right sides (P + C, N), all in the equations' units, under the constraints."""
        return np.asarray(self.elimination.solve(right) - self.tied @ (self.held @ right))

    def parameters(self) -> NDArray[np.float64]:
        """Return the corrections (P,)."""
        return (self.scale * self.solved((self.scale * self.right)[:, None])[:, 0])[: self.size]


def _diagonal(pairs: NDArray[np.int64], values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    same = pairs[0] == pairs[1]
    return np.asarray(np.bincount(pairs[0, same], values[same], size), dtype=np.float64)


def _frame_constraints(
    measured: Measurements, design: Design
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return the places and elements of rows whose products with the parameters are zero.

    No measurement can tell those: the mean shift of the fixed pointings, and their groups' mean terms.
    """
    if not measured.is_unanchored:
        return []
    pointings = np.flatnonzero(measured.fixed)
    groups = np.unique(measured.group[pointings])
    shifts = [axis * design.n_pointings + pointings for axis in (0, 1)]
    return [(at, np.full(len(at), 1.0 / len(at))) for at in (*shifts, *design.terms(groups))]


def _tied(measured: Measurements) -> sparse.csr_matrix:
    """Tell which acquisitions (A, A) are tied: by a source, the errors of a cell, or what fixes the frame."""
    own = measured.pointing >= 0
    acquisition = measured.acquisitions[measured.pointing[own]]
    n, n_sources = measured.n_acquisitions, int(measured.source.max()) + 1
    seen = sparse.csr_matrix((np.ones(len(acquisition)), (measured.source[own], acquisition)), (n_sources, n))
    cell = cells_of(measured)
    # What is in none stands for its source alone.
    cell = np.where(cell >= 0, cell, cell.max() + 1 + measured.source)
    there = sparse.csr_matrix((np.ones(len(cell)), (cell, measured.source)), (cell.max() + 1, n_sources))
    fixed = np.unique(measured.acquisitions[measured.fixed]) if measured.is_unanchored else np.arange(0)
    frame = sparse.csr_matrix((np.ones(len(fixed)), (np.zeros(len(fixed), np.int64), fixed)), (1, n))
    cliques = sparse.vstack([there @ seen, frame, sparse.eye(n)]).tocsr()
    return (cliques.T @ cliques).tocsr()


def _places(measured: Measurements) -> NDArray[np.float64]:
    """Return where each acquisition is, (A, 2), arcsec."""
    own = measured.pointing >= 0
    acquisition, n = measured.acquisitions[measured.pointing[own]], measured.n_acquisitions
    count = np.maximum(np.bincount(acquisition, minlength=n), 1)
    return np.column_stack([np.bincount(acquisition, axis, n) / count for axis in measured.xy[own].T])
