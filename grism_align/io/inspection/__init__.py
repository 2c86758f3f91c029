"""The inspection page: pictures of exposures to pan, zoom and blink."""

from grism_align.io.inspection.write import inspection_path, page_of, write_inspection

__all__ = ["inspection_path", "page_of", "write_inspection"]
