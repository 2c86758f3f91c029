"""Open and save files of Roman: metadata and WCS to read, whole trees to write."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grism_align.io.files.asdf_bounds import check_asdf_file
from grism_align.io.files.asdf_settings import asdf_settings
from grism_align.io.files.bounded import MB
from grism_align.io.files.fits import one_line
from grism_align.io.gwcs.own import PLACE
from grism_align.io.missions.roman.metadata import Metadata
from grism_align.values.errors import InputError, MissingSoftwareError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping
    from pathlib import Path

    import asdf


_AGAIN = "Fetch the file again"
_MAGIC = b"#ASDF"
# The tree of a file of Roman has one node of this name, after some that are ASDF's.
_NODE, _WITHIN = re.compile(rb"^roman:", re.MULTILINE), 1 << 20
# What the file of a WCS has in place of pixels, whatever it says that it is.
_WCS_FILE = "wcs_l2"
# Of all arrays of a file. Those of a calibrated exposure have 400 MB; made-up ones have full-size borders.
_MOST_UNPACKED = 2048 * MB
# Numbers of transforms are in the tree, as romancal has them; pixels are not.
_INLINE = 512


@dataclass(frozen=True, eq=False)
class ExposureContent:
    """What is read of an exposure, whether it is in a file or open.

    Parameters
    ----------
    meta : Metadata
        Its metadata.
    shape : (ny, nx)
        Of its science array.
    wcs : gwcs.WCS or None
        Its WCS.
    own : mapping or None
        What we left at ``meta.grism_align``.
    """

    meta: Metadata
    shape: tuple[int, int]
    wcs: Any
    own: Any


def is_asdf_of_roman(path: Path) -> bool:
    """Tell whether a file is an ASDF file of Roman, by how it begins."""
    try:
        with path.open("rb") as stream:
            begin = stream.read(len(_MAGIC))
            return begin == _MAGIC and _NODE.search(begin + stream.read(_WITHIN)) is not None
    except OSError:
        return False


def read_metadata(path: Path) -> Metadata:
    """Return the metadata of a file.

    Raises
    ------
    InputError
        If it can't be read.
    """
    return Metadata.of_tree(path, _yaml(path)["meta"])


def read_content(path: Path, check: Callable[[Metadata], None]) -> ExposureContent:
    """Return metadata and WCS of a file; pixels stay on disk.

    Parameters
    ----------
    path : Path
        The file.
    check : callable
        Takes the metadata, before the rest is read, and raises where the file can't be used.

    Raises
    ------
    InputError
        If it can't be read.
    """
    tree = _yaml(path)
    meta = Metadata.of_tree(path, tree["meta"])
    check(meta)
    if _WCS_FILE in tree:
        problem = "it is the WCS of an exposure, without its pixels"
        raise InputError(path, problem, "Give the calibrated exposure, *_cal.asdf")
    shape = _shape(tree.get("data"), path)
    wcs = None
    if tree["meta"].get("wcs") is not None:
        with opened_tree(path, is_lazy=True) as roman:
            wcs = _wcs(roman, path)
    return ExposureContent(meta, shape, wcs, tree["meta"].get(PLACE))


def _yaml(path: Path) -> Mapping[str, Any]:
    """Return the tree of a file at ``roman``, in plain values, without its arrays."""
    import asdf

    _check(path)
    try:
        found = asdf.util.load_yaml(path)["roman"]
        dict(found["meta"])
    except Exception as error:
        # asdf trips over damaged trees in many ways
        raise InputError(path, f"its metadata can't be read ({one_line(error)})", _AGAIN) from error
    return dict(found)


def _check(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            check_asdf_file(stream, most_unpacked=_MOST_UNPACKED)
    except Exception as error:
        # a damaged file has numbers of any kind
        raise InputError(path, f"no readable ASDF file ({one_line(error)})", _AGAIN) from error


def _shape(data: Any, path: Path) -> tuple[int, int]:
    # what roman_datamodels wrote with a unit is an array within
    array = data.get("value", data) if isinstance(data, dict) else None
    shape = array.get("shape") if isinstance(array, dict) else None
    if shape is None or len(shape) != 2:
        axes = "no" if shape is None else len(shape)
        raise InputError(path, f"its science array has {axes} axes, not 2", "Give the image, *_cal.asdf")
    return int(shape[0]), int(shape[1])


def _wcs(roman: Any, path: Path) -> Any:
    try:
        import gwcs
    except ImportError as error:
        raise not_installed(error) from error
    found = roman["meta"]["wcs"]
    if not isinstance(found, gwcs.WCS):
        problem = f"its WCS can't be read (it is a {type(found).__name__})"
        raise InputError(path, problem, "Update gwcs, asdf-astropy and roman_datamodels, or fetch it again")
    return found


@contextmanager
def opened_tree(path: Path, *, is_lazy: bool = False) -> Iterator[Any]:
    """Have what a file has at ``roman`` in the block.

    Parameters
    ----------
    path : Path
        The file.
    is_lazy : bool, optional
        Whether nodes are made of the tree when they are asked for.

    Raises
    ------
    InputError
        If it can't be read.
    """
    with opened_asdf(path, is_lazy=is_lazy) as file:
        yield file["roman"]


@contextmanager
def opened_asdf(path: Path, *, is_lazy: bool = False) -> Iterator[asdf.AsdfFile]:
    """Open a file; errors in the block that are not ours are of the file too.

    Parameters
    ----------
    path : Path
        The file.
    is_lazy : bool, optional
        As for `opened_tree`.

    Raises
    ------
    InputError
        If it can't be read.
    MissingSoftwareError
        If what reads it is not installed.
    """
    import asdf

    require_models()
    _check(path)
    try:
        with _quiet(), asdf_settings() as config:
            config.validate_on_read = False
            file = asdf.open(path, lazy_load=True, memmap=False, lazy_tree=is_lazy)
    except Exception as error:
        raise InputError(path, f"no readable ASDF file ({one_line(error)})", _AGAIN) from error
    with file, _quiet():
        yield file


def require_models() -> None:
    """Raise an error if what Roman's files are made of is not installed."""
    try:
        import gwcs  # noqa: F401
        import roman_datamodels.datamodels  # noqa: F401
    except ImportError as error:
        raise not_installed(error) from error


def not_installed(error: ImportError) -> MissingSoftwareError:
    """Return the error that what reads and writes Roman's files is not installed."""
    return MissingSoftwareError("exposures of Roman", error.name or str(error), "roman")


def write_asdf(file: asdf.AsdfFile, path: Path, packing: str = "input") -> None:
    """Write a tree, checked against Roman's schemas.

    Parameters
    ----------
    file : asdf.AsdfFile
        The tree.
    path : Path
        The file.
    packing : str, optional
        How arrays are compressed: as they were in the file that they are from, if not given.

    Raises
    ------
    OutputError
        If it is not as the schemas have it.
    """
    import asdf

    with _quiet(), asdf_settings() as config:
        config.array_inline_threshold = _INLINE
        try:
            file.write_to(path, all_array_compression=packing)
        except asdf.ValidationError as error:
            problem = f"it would not be as Roman's schemas have it ({one_line(error)})"
            raise OutputError(path.name, problem, _AGAIN) from error


def say_when(meta: MutableMapping[str, Any], name: str) -> None:
    """Have metadata tell when a file was made, and its name (in place)."""
    from astropy.time import Time

    for key, value in (("file_date", Time.now()), ("filename", name)):
        if key in meta:
            # models give them classes of their own
            meta[key] = type(meta[key])(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what libraries say of old files, such as other versions of asdf's tags."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
