from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="the extra [view] is not installed")
