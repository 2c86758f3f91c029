"""Where the detectors of a camera lie against each other, as far as sources tell that several of them saw.

All detectors of a pointing share its error, and each is off its nominal place in the telescope's field by the
same amount in all pointings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.places import PlacePrior
from grism_align.algorithms.propagation.poses import detector_of, field_axes
from grism_align.values.failure import OutOfPlace, PlaceUnknown
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.corrections import FollowedPlaces
    from grism_align.algorithms.fitting.places import PlaceEquations
    from grism_align.algorithms.propagation.poses import Detector
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import PointingSettings
    from grism_align.values.solution import ExposureFit
    from grism_align.values.transform import TangentPlane

# Places that are wrong by more than so many of the errors that are expected, and of their own, are told of.
_TOLD, _SURE = 3.0, 5.0
# A place is told by measurements if these tell so many times what is known of it beforehand.
_TELLING = 3.0
_MAS = 1e3


@dataclass(frozen=True, eq=False)
class Places:
    """By how much D detectors are off their nominal places.

    Parameters
    ----------
    numbers : mapping of Detector to int
        The detectors, 0 to D - 1.
    mounts : tuple of str
        The camera of each.
    prior_error : float, arcsec
        How well a place is known beforehand, of one axis.
    offset : (D, 2) ndarray, arcsec
        What is to be added to positions in the telescope's field, along V2 and V3.
    covariance : (2 D, 2 D) ndarray, arcsec^2
        Of the offsets, detector by detector, against what is common to a camera's, by independent errors.
    shared : (2 D, 8 D) ndarray, arcsec
        What errors of the quarters of detectors, of their size, do to these.
    information : (D,) ndarray, arcsec^-2
        What measurements tell of each offset, of one axis.
    share : (D,) ndarray
        Of each detector in what is taken to be common to its camera's; these add up to one.
    """

    numbers: Mapping[Detector, int]
    mounts: tuple[str, ...]
    prior_error: float
    offset: NDArray[np.float64]
    covariance: NDArray[np.float64]
    shared: NDArray[np.float64]
    information: NDArray[np.float64]
    share: NDArray[np.float64]

    @classmethod
    def nominal(cls, exposures: Iterable[Exposure], errors: PointingSettings) -> Places:
        """Take all detectors to be at their nominal places.

        Parameters
        ----------
        exposures : iterable of Exposure
            Any. Asked for are the places of detectors of cameras of which several took a pointing, and of
            none where these are known.
        errors : PointingSettings
            How well places are known beforehand.
        """
        of_pointing: dict[tuple[str, str], set[Detector]] = {}
        for one in exposures if errors.detector_error > 0 else ():
            if one.attitude is not None:
                of_pointing.setdefault((one.mount, one.pointing), set()).add(detector_of(one))
        mounts = {mount for (mount, _), detectors in of_pointing.items() if len(detectors) > 1}
        found = {
            detector: mount
            for (mount, _), detectors in of_pointing.items()
            for detector in detectors
            if mount in mounts
        }
        names = sorted(found)
        none, known = np.zeros((len(names), 2)), errors.detector_error**2 * np.eye(2 * len(names))
        numbers = {name: number for number, name in enumerate(names)}
        mounts_of = tuple(found[name] for name in names)
        share = np.array([1.0 / mounts_of.count(mount) for mount in mounts_of])
        return cls(
            numbers,
            mounts_of,
            errors.detector_error,
            none,
            known,
            np.zeros((none.size, 4 * none.size)),
            np.zeros(len(names)),
            share,
        )

    def __len__(self) -> int:
        return len(self.mounts)

    def number(self, exposure: Exposure) -> int:
        """Return the number of the detector that took an exposure, -1 if its place is not asked for."""
        return -1 if exposure.attitude is None else self.numbers.get(detector_of(exposure), -1)

    def error(self, number: int) -> float:
        """Return the error of a detector's offset, arcsec, of one axis."""
        own = slice(2 * number, 2 * number + 2)
        variance = np.diag(self.covariance)[own] + (self.shared[own] ** 2).sum(axis=1)
        return float(np.sqrt(variance.mean()))

    def is_told(self, number: int) -> bool:
        """Tell whether measurements say where a detector is.

        Its error doesn't: where all others are in place, that of one that nothing tells is small, too.
        """
        return bool(self.information[number] > _TELLING * self.prior_error**-2.0)

    @property
    def prior(self) -> PlacePrior:
        """What is known of offsets where positions have these already."""
        return PlacePrior(self.offset, self.prior_error)

    def shift_of(
        self, exposure: Exposure, plane: TangentPlane, before: Places | None = None
    ) -> LinearTransform:
        """Return what the place of its detector does to the sky of an exposure.

        Parameters
        ----------
        exposure : Exposure
            Any.
        plane : TangentPlane
            That of the result.
        before : Places, optional
            What its sky has already; nothing by default.
        """
        identity, number = LinearTransform.identity(plane), self.number(exposure)
        if number < 0:
            return identity
        offset = self.offset[number] - (0.0 if before is None else before.offset[number])
        return replace(identity, shift=field_axes(exposure, plane) @ offset)

    def moved(self, offset: NDArray[np.float64]) -> Places:
        """Return them with offsets (D, 2), arcsec, added."""
        return replace(self, offset=self.offset + offset)

    def found(self, equations: PlaceEquations) -> Places:
        """Return where detectors are.

        Parameters
        ----------
        equations : PlaceEquations
            Of their offsets.

        Notes
        -----
        What all detectors of a camera share is its pointings', and nothing but the prior says how much that
        is: errors are those from the mean of `shared_by`.
        """
        offset, covariance = equations.solved(self.prior)
        information = np.diag(equations.normal).reshape(-1, 2).mean(axis=1)
        found = replace(self, offset=offset).shared_by(information)
        both = np.kron(np.eye(len(self)) - found._common, np.eye(2))
        shared = both @ covariance @ equations.shared
        return replace(found, covariance=both @ covariance @ both.T, shared=shared)

    def shared_by(self, information: NDArray[np.float64]) -> Places:
        """Take as common to a camera's detectors the mean of those that are in place.

        Parameters
        ----------
        information : (D,) ndarray, arcsec^-2
            What measurements tell of each. Each adds that, at least what is known beforehand.
        """
        known = np.maximum(information, self.prior_error**-2.0)
        share = np.zeros(len(self))
        for mount in set(self.mounts):
            own = np.array([one == mount for one in self.mounts])
            apart = np.hypot(*(self.offset - np.median(self.offset[own], axis=0)).T)
            usual = own & (apart <= _TOLD * self.prior_error)
            weight = np.where(usual if usual.any() else own, known, 0.0)
            share += weight / weight.sum()
        return replace(self, share=share, information=information)

    @property
    def _common(self) -> NDArray[np.float64]:
        """The mean of the camera of each detector, as shares (D, D) of the others."""
        mounts = np.array(self.mounts)
        return np.where(mounts[:, None] == mounts, self.share, 0.0)

    @cached_property
    def among_others(self) -> Places:
        """The same as offsets from what is common to a camera's, as their errors are.

        For people: corrections belong to the offsets as they were solved for.
        """
        return replace(self, offset=self.offset - self._common @ self.offset)

    def largest_move(self, before: Places) -> float:
        """Return by how much the farthest detector lies from where it was before, arcsec."""
        return float(np.abs(self.offset - before.offset).max(initial=0.0))

    def widened(self, apart: NDArray[np.float64]) -> Places:
        """Return them with errors that allow for what was left apart.

        Parameters
        ----------
        apart : (D, 2) ndarray, arcsec
            Of the sources of each detector from what they should be.
        """
        more = 0.5 * (apart**2).sum(axis=1)
        return replace(self, covariance=self.covariance + np.diag(more.repeat(2)))

    def unknown(self, apart: NDArray[np.float64], n: NDArray[np.int64], partners: str) -> list[PlaceUnknown]:
        """Return what is to be known of detectors whose places are not.

        Parameters
        ----------
        apart : (D, 2) ndarray, arcsec
            Of the sources of each detector from what they should be; zero where nothing is amiss.
        n : (D,) ndarray of int
            How many of them tell it.
        partners : str
            What they should be.
        """
        return [
            PlaceUnknown(*name, int(n[number]), partners, _MAS * float(np.hypot(*apart[number])))
            for name, number in self.numbers.items()
            if apart[number].any()
        ]

    def out_of_place(self) -> list[OutOfPlace]:
        """Return what is to be known of detectors that are not where they should be, the worst first."""
        found: list[OutOfPlace] = []
        offset = self.among_others.offset
        for (instrument, detector), number in self.numbers.items():
            off, error = float(np.hypot(*offset[number])), self.error(number)
            if off > max(_TOLD * self.prior_error, _SURE * error):
                found.append(OutOfPlace(instrument, detector, _MAS * off, _MAS * error))
        return sorted(found, key=lambda one: -one.offset)

    def of_fits(
        self,
        fits: Mapping[str, ExposureFit],
        exposures: Iterable[Exposure],
        followed: Mapping[str, FollowedPlaces],
        before: Places,
    ) -> dict[str, ExposureFit]:
        """Return fits, by exposure key, with detectors in place where they have a correction.

        Parameters
        ----------
        fits : mapping of str to ExposureFit
            By exposure key.
        exposures : iterable of Exposure
            Any.
        followed : mapping of str to FollowedPlaces
            How corrections follow the places, by exposure key.
        before : Places
            What positions have already that corrections are to be applied to.
        """
        own = (one for one in exposures if one.key in fits and fits[one.key].is_aligned)
        moved = {one.key: self._of_fit(fits[one.key], one, followed.get(one.key), before) for one in own}
        return {**fits, **moved}

    def _of_fit(
        self, fit: ExposureFit, exposure: Exposure, followed: FollowedPlaces | None, before: Places
    ) -> ExposureFit:
        """Return the fit of an exposure with its detector, and all others, in place.

        Parameters
        ----------
        fit : ExposureFit
            With a transform.
        exposure : Exposure
            The one.
        followed : FollowedPlaces or None
            How the correction of its pointing follows the places; None where it doesn't.
        before : Places
            What positions have already that the transform is to be applied to.
        """
        assert fit.transform is not None
        n, number = 2 * len(self), self.number(exposure)
        moved = self.shift_of(exposure, fit.transform.plane, before).then(fit.transform)
        by_offset = np.zeros((6, n))
        if followed is not None:
            by_offset += followed.by_offset
            shift, matrix = np.split(by_offset @ (self.offset.ravel() - followed.offset), [2])
            moved = replace(moved, shift=moved.shift + shift, matrix=moved.matrix + matrix.reshape(2, 2))
        if number >= 0:
            by_offset[:2, 2 * number : 2 * number + 2] += field_axes(exposure, moved.plane)
            x, y = (_MAS * self.among_others.offset[number]).tolist()
            fit = replace(fit, placement=(x, y), placement_error=_MAS * self.error(number))
        shared = by_offset @ self.shared
        if followed is not None:
            shared += followed.shared
        covariance = moved.covariance + by_offset @ self.covariance @ by_offset.T + shared @ shared.T
        return replace(fit, transform=replace(moved, covariance=covariance))


def placed(exposures: Sequence[Exposure], places: Places) -> list[Exposure]:
    """Return exposures with their detectors in place.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    places : Places
        Where detectors are.
    """
    if not places.offset.any():
        return list(exposures)
    return [each.corrected(places.shift_of(each, each.plane)) for each in exposures]
