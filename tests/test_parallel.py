from __future__ import annotations

import platform
import subprocess
import sys
import time

import pytest

from typika.parallel import Advance, run_tasks

COUNT_FAULTS = """
import resource
from PIL import Image
from typika.diffusion.encoders import DEFAULT, load_encoder
from typika.parallel import one_thread

image, encoder = Image.new("RGB", (448, 448)), load_encoder(DEFAULT)
with one_thread():
    for _ in range(4):
        encoder.taps(image, 448)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    encoder.taps(image, 448)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left alone")
def test_freed_blocks_are_reused_without_clearing_their_pages() -> None:
    found = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS], check=True, capture_output=True, text=True
    )
    assert int(found.stdout) < 5000  # 13,000 where blocks are mapped anew


def test_a_worker_that_grew_is_replaced_and_nobody_waits_for_it() -> None:
    """joblib ends workers that keep 300 MB more than at first, which it tells once a second.

    It warns in a thread of its own. As an error, which all warnings are here, that ended the
    thread, and this call never came back.
    """

    def grow(size: int, advance: Advance) -> int:
        vars(time).setdefault("kept", []).append(b"x" * size)  # outlives the call
        time.sleep(1.1)
        advance(1)
        return size

    sizes = [1, 1, 500_000_000, 500_000_000, 2, 3, 4, 5]
    found = run_tasks(grow, [(size,) for size in sizes], workers=2, name="growing", total=8)
    assert found == sizes
