"""TODO"""

from pathlib import Path
from collections.abc import Sequence
from typika.collection._line_records import Harvest


def read_pages(root: Path, files: Sequence[str], images: Sequence[str]) -> Harvest:
    """TODO"""
    return Harvest()
