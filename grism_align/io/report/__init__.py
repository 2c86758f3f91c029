"""The report of a run: one HTML page made from its record alone."""

from grism_align.io.report.write import report_html, report_path, write_report

__all__ = ["report_html", "report_path", "write_report"]
