"""The report: one self-contained HTML page, and figure sheets."""
