"""Write an association."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from grism_align.io.associations.files import check_product_name, files_of, located, named_by_user
from grism_align.io.associations.json_form import layout
from grism_align.io.files.staging import atomic_path
from grism_align.values.errors import OutputError

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from grism_align.values.association import Association


def association_text(association: Association, path: str | os.PathLike[str]) -> str:
    """Return an association as JSON.

    Parameters
    ----------
    association : Association
        What was read of it is kept, in the same order.
    path : path-like
        The file that it is for. Paths below its folder are relative to it, others absolute.

    Raises
    ------
    OutputError
        If the file would replace a member.
    AssociationError
        If the product name is no file name.
    """
    final = located(path)
    check_product_name(association.product, final)
    if final in files_of(association.members):
        raise OutputError(final, "it is a member of the association", "Choose another name for the output")
    return json.dumps(layout(association, final.parent), indent=2) + "\n"


def write_association(association: Association, path: str | os.PathLike[str]) -> Path:
    """Write an association as JSON: the whole new file, or the old one stays.

    Parameters
    ----------
    association : Association
        What to write.
    path : path-like
        The file; one that exists is replaced.

    Returns
    -------
    Path
        Where it was written, absolute.

    Raises
    ------
    OutputError
        If it can't be written or would replace a member.
    AssociationError
        If the product name is no file name.
    """
    final = named_by_user(path)
    text = association_text(association, final)
    try:
        with atomic_path(final) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            final, f"it can't be written ({error.strerror})", "Choose another folder"
        ) from error
    return final
