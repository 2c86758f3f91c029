"""Errors of a joint solution: those covariances that are asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from grism_align.algorithms.fitting.assembly import outer_products
from grism_align.algorithms.fitting.prior import N_TERMS
from grism_align.algorithms.fitting.systematics import cell_moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.design import Design
    from grism_align.algorithms.fitting.elimination import Perturbation
    from grism_align.algorithms.fitting.normal import NormalEquations
    from grism_align.algorithms.fitting.places import Border
    from grism_align.algorithms.fitting.systematics import CellMoments, WeightedFit

# Variances, in the equations' units, of what the frame fixes: zero but for rounding, which may be negative.
_FIXED = 1e-12


class JointErrors:
    """What is known of the errors of a joint solution; computed when it is asked for.

    Parameters
    ----------
    equations : NormalEquations
        Those that were solved.
    design : Design
        The derivatives.
    fit : WeightedFit
        The solution.
    border : Border or None
        The places of detectors; None where all are known.

    Notes
    -----
    Errors that a cell shares, with a variance of s^2 and b' the rows of what each adds, come on top: with the
    covariance C they are s^2 C b b' C, the derivative of C by a change of the normal matrix along b b'.
    """

    def __init__(
        self, equations: NormalEquations, design: Design, fit: WeightedFit, border: Border | None
    ) -> None:
        self._equations, self._design, self._fit = equations, design, fit
        self._border = border

    @cached_property
    def _moments(self) -> CellMoments:
        return cell_moments(self._fit)

    @cached_property
    def _on_places(self) -> NDArray[np.float64]:
        """What errors of cells add to the equations of places, (2 D, C)."""
        assert self._border is not None
        own = self._fit.sources.moments(self._border.matrix, self._moments.cells)
        return self._border.left_of(self._moments.by_cell, own)

    @cached_property
    def _of_quarters(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What errors of quarters of detectors add to the equations, and do to the unknowns, (P + C, 8 D)."""
        scale, n = self._equations.scale, 0 if self._border is None else self._border.shared.shape[1]
        added = np.zeros((len(scale), n))
        added[: self._equations.size] = self._moments.by_cell[:, :n].toarray()
        added *= scale[:, None]
        return added, self._equations.solved(added)

    @cached_property
    def _shared(self) -> tuple[float, sparse.csr_matrix, Perturbation | None]:
        """Variance of the errors that cells share.

        And what those add to the equations that are not of quarters, and to the inverse.
        """
        equations, moments = self._equations, self._moments
        none = sparse.csr_matrix((len(equations.scale), 0))
        if moments.are_none:
            return 0.0, none, None
        added, solved = self._of_quarters
        own = moments.by_cell[:, added.shape[1] :]
        scaled = (sparse.diags(equations.scale[: equations.size]) @ own).tocsr()
        scaled.resize((len(equations.scale), scaled.shape[1]))
        change = equations.elimination.perturbed(outer_products(scaled, equations.dissection))
        of_frame = float(((scaled.T @ equations.held.T) * (scaled.T @ equations.tied)).sum())
        taken = change.trace - of_frame + float((added * solved).sum())
        if self._border is not None:
            taken += float((self._border.inverse @ self._on_places * self._on_places).sum())
        variance = moments.variance(taken)
        return (variance, scaled, change) if variance > 0 else (0.0, none, None)

    @property
    def systematic(self) -> float:
        """Error of one axis that neighbouring measurements share, arcsec."""
        return float(np.sqrt(self._shared[0]))

    @property
    def border(self) -> Border | None:
        """What is known of the places of detectors, with the errors that cells share."""
        if self._border is None or self.systematic == 0.0:
            return self._border
        n, size = self._border.shared.shape[1], self._equations.size
        moved = (self._equations.scale[:, None] * self._of_quarters[1])[:size]
        return self._border.with_shared(self.systematic * self._on_places[:, :n], self.systematic * moved)

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """Of each pointing's (shift x, shift y, roll, scale, shears), (E, 6, 6)."""
        equations, design = self._equations, self._design
        variance, by_cell, change = self._shared
        index = np.concatenate([design.columns[:, 0], design.terms(design.group)]).T
        rank = equations.dissection.rank[index]
        front = equations.dissection.front_of[rank[:, 0]]
        blocks = np.zeros((2, *index.shape, index.shape[1]))
        order = np.argsort(front, kind="stable")
        ends = np.searchsorted(front[order], np.arange(len(equations.dissection.fronts) + 1))
        for number, inverse, changed in equations.elimination.inverse(change):
            mine = order[ends[number] : ends[number + 1]]
            local = rank[mine] - equations.dissection.fronts[number].start
            at = local[:, :, None], local[:, None, :]
            blocks[0, mine] = inverse[at]
            if changed is not None:
                blocks[1, mine] = changed[at]
        tied, held = equations.tied[index], equations.held.T[index]
        own = blocks[0] - tied @ held.swapaxes(1, 2)
        known = np.diagonal(own, axis1=1, axis2=2) > _FIXED
        if change is not None:
            products = by_cell.T @ equations.tied
            turned = equations.elimination.solve(by_cell @ products)[index]
            beside = turned @ held.swapaxes(1, 2)
            own = own + variance * (
                blocks[1]
                - beside
                - beside.swapaxes(1, 2)
                + held @ (products.T @ products) @ held.swapaxes(1, 2)
            )
        unit = np.where(known, equations.scale[index], 0.0)
        n = index.shape[1]
        out = np.zeros((len(index), 2 + N_TERMS, 2 + N_TERMS))
        out[:, :n, :n] = own * unit[:, :, None] * unit[:, None, :]
        return out

    @cached_property
    def term_covariance(self) -> NDArray[np.float64]:
        """Of the terms of all groups, (G, 4, G, 4); for fields that are not large."""
        equations, design = self._equations, self._design
        variance, by_cell, _ = self._shared
        n, g = design.n_terms, design.n_groups
        column = design.terms(np.arange(g)).T.ravel()
        unit = np.zeros((len(equations.scale), len(column)))
        unit[column, np.arange(len(column))] = 1.0
        inverse = equations.solved(unit)
        shared = by_cell.T @ inverse
        total = inverse[column] + variance * (shared.T @ shared)
        size = np.where(np.diag(inverse[column]) > _FIXED, equations.scale[column], 0.0)
        out = np.zeros((g, N_TERMS, g, N_TERMS))
        out[:, :n, :, :n] = (total * np.outer(size, size)).reshape(g, n, g, n)
        return out
