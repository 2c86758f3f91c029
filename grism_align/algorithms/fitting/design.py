"""How measured positions change with the corrections of a joint solution."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from grism_align.algorithms.fitting.prior import GENERATORS, N_TERMS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.joint import Measurements

#: In place of a pointing's number: a measurement by the reference catalog, which is not corrected.
REFERENCE = -1


class Design:
    """Derivatives of measurements by P corrections: shifts x, shifts y, then each term of all groups.

    Parameters
    ----------
    measured : Measurements
        M measurements in E pointings of G groups.
    center : (G, 2) ndarray, arcsec
        Where the groups have their shifts.
    n_terms : int
        Terms of a group.

    Attributes
    ----------
    rows : (N,) ndarray of int
        Measurements that are corrected.
    pointing : (N,) ndarray of int
        Their pointings.
    lever : (2, 1 + n_terms, N) ndarray
        Derivatives of x and y by the own shift and the terms of the own group.
    """

    def __init__(self, measured: Measurements, center: NDArray[np.float64], n_terms: int) -> None:
        self.n_terms, self.group = n_terms, measured.group
        self.n_pointings, self.n_groups = measured.n_pointings, len(center)
        self.size = 2 * self.n_pointings + n_terms * self.n_groups
        self.rows = np.flatnonzero(measured.pointing != REFERENCE)
        self.pointing = measured.pointing[self.rows]
        self._n_measured = len(measured.source)
        arm = measured.xy[self.rows] - center[self.group[self.pointing]]
        self.lever = np.ones((2, 1 + n_terms, len(self.rows)))
        for term, matrix in enumerate(GENERATORS[:n_terms]):
            self.lever[:, 1 + term] = matrix @ arm.T

    def terms(self, group: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the columns (n_terms, N) of the terms of some groups."""
        first = 2 * self.n_pointings + self.n_groups * np.arange(self.n_terms)
        return np.asarray(first[:, None] + group)

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """Columns (2, 1 + n_terms, E) by which x and y of each pointing change."""
        e = self.n_pointings
        terms = self.terms(self.group)
        return np.array([[axis * e + np.arange(e), *terms] for axis in (0, 1)])

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """The derivatives of all x, then of all y, (2 M, P)."""
        m = self._n_measured
        rows = np.stack([self.rows, m + self.rows])[:, None].repeat(1 + self.n_terms, axis=1)
        entries = self.lever.ravel(), (rows.ravel(), self.columns[:, :, self.pointing].ravel())
        return sparse.csr_matrix(entries, shape=(2 * m, self.size))

    def owners(self, acquisitions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the acquisition (P,) that each column is of, given those (E,) of the pointings."""
        _, first = np.unique(self.group, return_index=True)
        of_groups = acquisitions[first]
        return np.concatenate([acquisitions, acquisitions, *[of_groups] * self.n_terms])

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        """Columns (2, K) that measurements of one pointing and axis tie, each pair once."""
        a, b = np.triu_indices(1 + self.n_terms)
        return np.array([self.columns[:, a].ravel(), self.columns[:, b].ravel()])

    def products(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums (K,) of what `pairs` have in common, by weights (M, 2) of x and y."""
        sums = [
            np.bincount(self.pointing, weight[self.rows, axis] * lever[a] * lever[b], self.n_pointings)
            for axis, lever in enumerate(self.lever)
            for a, b in zip(*np.triu_indices(1 + self.n_terms), strict=True)
        ]
        return np.concatenate(sums)

    def unpacked(self, parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the shifts (E, 2) and terms (G, 4) of parameters (P,)."""
        e, g = self.n_pointings, self.n_groups
        terms = np.zeros((g, N_TERMS))
        terms[:, : self.n_terms] = parameters[2 * e :].reshape(self.n_terms, g).T
        return parameters[: 2 * e].reshape(2, e).T, terms
