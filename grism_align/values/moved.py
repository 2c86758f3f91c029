"""What a run changed of what an earlier one had found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grism_align.values.declaration import declared, recorded

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]


@declared(eq=False)
class Moved:
    """How far exposures have come to lie from where an earlier run of the same steps put them."""

    record: str = recorded("File name of its record.")
    created: str = recorded("When that was written, UTC, ISO 8601.")
    exposure: Texts = recorded("Root names of the exposures that both runs corrected.", shape=("n",))
    east: Floats = recorded("How far each lies farther east, on average.", unit="mas", shape=("n",))
    north: Floats = recorded("The same to the north.", unit="mas", shape=("n",))
    most: Floats = recorded("How far any of its pixels has moved, at most.", unit="mas", shape=("n",))
    added: tuple[str, ...] = recorded("Root names of the exposures that the earlier run had not.")

    @property
    def by_size(self) -> NDArray[np.int64]:
        """Rows, that which has moved most first."""
        return np.asarray(np.argsort(-self.most, kind="stable"))

    def __str__(self) -> str:
        n, added = len(self.exposure), len(self.added)
        new = f"; {added} {'are' if added > 1 else 'is'} new" if added else ""
        run = f"Since the run of {self.created.replace('T', ' ')[:16]} UTC"
        largest = float(self.most.max())
        if largest == 0.0:
            return f"{run} none of {n} exposures has moved{new}"
        together = float(np.hypot(self.east.mean(), self.north.mean()))
        return (
            f"{run} {n} exposures have moved by {np.median(self.most):.2g} mas (median), at most by "
            f"{largest:.2g} mas ({self.exposure[self.by_size[0]]}); {together:.2g} mas of it together{new}"
        )
