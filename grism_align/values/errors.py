"""The errors that a user can meet; each carries the numbers that led to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grism_align.values.addresses import without_login

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grism_align.values.catalog import CatalogAttempt
    from grism_align.values.failure import Remark


class GrismAlignError(Exception):
    """Base of every error that the package raises on purpose."""

    def spelled(self, spelling: Callable[[str], str]) -> str:
        """Return what it says, with parameters named as somebody knows them.

        Parameters
        ----------
        spelling : callable
            Takes a text that may name parameters, and gives the one that is said.

        Returns
        -------
        str
        """
        return spelling(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what was made of the arguments, which are others than `Exception` expects."""
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[GrismAlignError], args: tuple[Any, ...]) -> GrismAlignError:
    error = kind.__new__(kind)
    error.args = args
    return error


class WorkerError(GrismAlignError):
    """A process that died at its work.

    Parameters
    ----------
    what : str
        What it did with which exposure.
    how : str
        How it ended.
    """

    def __init__(self, what: str, how: str) -> None:
        self.what = what
        remedy = "Run again with a smaller nproc, or with more memory for each"
        super().__init__(f"{what}: the process that did it died ({how}). {remedy}.")


class ExecutorError(GrismAlignError):
    """An executor that can't be used.

    Parameters
    ----------
    name : str
        The executor.
    problem : str
        What is wrong.
    remedy : str
        What the user can do.
    """

    def __init__(self, name: str, problem: str, remedy: str) -> None:
        self.name = name
        super().__init__(f"executor {name}: {without_login(problem)}. {remedy}.")


class VersionsError(GrismAlignError):
    """A worker with other versions of the software, whose results would be others.

    Parameters
    ----------
    host : str
        Where it works.
    differences : sequence of str
        What is another there, as in ``numpy 2.0.1 instead of 2.1.0``.
    """

    def __init__(self, host: str, differences: Sequence[str]) -> None:
        self.host, self.differences = host, tuple(differences)
        remedy = "Start workers in the same environment as the run"
        super().__init__(f"a worker on {host} has {', '.join(differences)}. {remedy}.")


class InputError(GrismAlignError):
    """A file that can't be used.

    Parameters
    ----------
    path : object
        The file, or what else holds an exposure, as ``str`` gives it.
    problem : str
        What is wrong with it.
    remedy : str
        What the user can do.
    """

    def __init__(self, path: object, problem: str, remedy: str = "") -> None:
        self.path = str(path)
        self.problem = problem
        self.remedy = remedy
        super().__init__(self.spelled(str))

    def spelled(self, spelling: Callable[[str], str]) -> str:
        """Return what it says, as the base class has it; the path stays as it is.

        Parameters
        ----------
        spelling : callable
            As for `GrismAlignError.spelled`.

        Returns
        -------
        str
        """
        remedy = f" {spelling(self.remedy)}." if self.remedy else ""
        return f"{self.path}: {spelling(self.problem)}.{remedy}"


class ChangedError(GrismAlignError):
    """A file that changed while a run worked with it, which ends the run: its results would be of two files.

    Parameters
    ----------
    path : object
        The file, as ``str`` gives it.
    """

    def __init__(self, path: object) -> None:
        self.path = str(path)
        problem = "it changed, or was replaced, while this run worked with it; nothing was written"
        super().__init__(f"{path}: {problem}. Run again when nobody else writes it.")


class MissingSoftwareError(GrismAlignError):
    """Software that a telescope's exposures need and that is not installed, which is no fault of a file.

    Parameters
    ----------
    what : str
        What needs it.
    module : str
        What could not be imported.
    extra : str
        The extra of this package that has it.
    """

    def __init__(self, what: str, module: str, extra: str) -> None:
        self.module, self.extra = module, extra
        super().__init__(f"{what} need {module}, which is not installed: pip install 'grism_align[{extra}]'")


class AssociationError(InputError):
    """An association whose members or structure can't be used.

    Parameters
    ----------
    path : path-like
        The file.
    problem : str
        What is wrong with it.
    remedy : str
        What the user can do.
    """


class LendingError(InputError):
    """An open model that its library doesn't lend, which ends the run: it could not be marked as failed.

    Parameters
    ----------
    path : object
        The model, as ``str`` gives it.
    problem : str
        What the library says.
    remedy : str
        What the user can do.
    """


class OutputError(InputError):
    """An output that must not, or can't, be written.

    Parameters
    ----------
    path : path-like
        The file.
    problem : str
        What is wrong with it.
    remedy : str
        What the user can do.
    """


class SettingsError(GrismAlignError):
    """A parameter outside its bounds or that contradicts another.

    Parameters
    ----------
    name : str
        The parameter.
    value : object
        The value given.
    allowed : str
        What it may be.
    """

    def __init__(self, name: str, value: object, allowed: str) -> None:
        self.name = name
        self.value = value
        self.allowed = allowed
        super().__init__(f"parameter {name}={value!r}: {allowed}")


class UnknownParameterError(SettingsError):
    """A parameter that there is not.

    Parameters
    ----------
    name : str
        As the user wrote it.
    remedy : str
        What may have been meant.
    """

    def __init__(self, name: str, remedy: str) -> None:
        self.name = name
        self.value = None
        self.allowed = ""
        GrismAlignError.__init__(self, f"there is no parameter {name}{remedy}")


class ReservationError(GrismAlignError):
    """A result that is short of what the user insists on, and is not written.

    Parameters
    ----------
    reservations : sequence of str
        What it is short of.
    remedy : str
        What becomes of it, and what the user can do.
    """

    def __init__(self, reservations: Sequence[str], remedy: str) -> None:
        self.reservations = tuple(reservations)
        super().__init__(f"{'; '.join(self.reservations)}. {remedy}.")


class CatalogServiceError(GrismAlignError):
    """A reference catalog that a service did not give.

    Parameters
    ----------
    catalog : str
        Name of the catalog.
    problem : str
        What went wrong, of which service, with the numbers.
    remedy : str
        What the user can do.
    attempts : sequence of CatalogAttempt
        Every try that led to it.
    """

    outcome = "failed"

    def __init__(
        self, catalog: str, problem: str, remedy: str = "", attempts: Sequence[CatalogAttempt] = ()
    ) -> None:
        self.catalog = catalog
        problem = without_login(problem)
        self.problem = problem
        self.remedy = remedy
        self.attempts = tuple(attempts)
        super().__init__(f"{catalog}: {problem}." + (f" {remedy}." if remedy else ""))


class ServiceUnreachableError(CatalogServiceError):
    """No answer: no network, no such host, a time limit, or a server that says it can't now."""

    outcome = "unreachable"


class ServiceRefusedError(CatalogServiceError):
    """The service answered, and will not do what was asked."""

    outcome = "refused"


class NoRowsError(CatalogServiceError):
    """The service answered that it has no source there."""

    outcome = "no rows"


class TooManyRowsError(CatalogServiceError):
    """More sources than asked for at most; what came is not all."""

    outcome = "too many rows"


class ServiceAnswerError(CatalogServiceError):
    """An answer that is no table, or not the table that was asked for."""

    outcome = "not understood"


class NotCachedError(CatalogServiceError):
    """Nothing in the cache, and the network was not to be used."""

    outcome = "not cached"


class PlaneMismatchError(GrismAlignError):
    """Two transforms of different tangent planes were composed."""


class AlignmentError(GrismAlignError):
    """One exposure, or a frame of them, that can't be fitted. Caught per exposure, with the remark on record.

    Parameters
    ----------
    remark : Remark
        Why, with the numbers that led to it.
    """

    def __init__(self, remark: Remark) -> None:
        self.remark = remark
        super().__init__(str(remark))


class TooFewMatchesError(AlignmentError):
    """Fewer matched sources than asked for."""


class UnreliableMatchError(AlignmentError):
    """A match that chance could have made."""


class AmbiguousMatchError(AlignmentError):
    """Two different transforms explain two lists; regular patterns do that."""


class LooseMatchError(AlignmentError):
    """A match whose sources lie too badly for a transform of the whole list."""


class ImplausibleMatchError(AlignmentError):
    """A match that the pointing says can't be one of the sky."""
