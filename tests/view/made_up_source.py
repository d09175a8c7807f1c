"""A made-up run to serve, without a run folder's stages."""

from __future__ import annotations

from pathlib import Path

from typika.report.build import build_page
from typika.report.html import render_live
from typika.report.records import ReportInputs


class MadeUp:
    """A source whose clusters a test may replace."""

    def __init__(self, folder: Path, inputs: ReportInputs) -> None:
        self.folder = folder
        self.inputs = inputs
        self.version = "1"

    def digest(self) -> str:
        return self.version

    def read(self) -> ReportInputs:
        return self.inputs

    def render(self, inputs: ReportInputs, base: str) -> str:
        return render_live(build_page(inputs), base)
