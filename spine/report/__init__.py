"""The page a clinician reads: `write_report`."""

from spine.report.page import write_report

__all__ = ["write_report"]
