"""`typika view`: the report in the browser, with clusters to change."""

from __future__ import annotations

from pathlib import Path


def view(
    run: Path,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    expose: bool = False,
) -> None:
    """Open the report of a run in the browser: rename, merge, split, hide, star its clusters.

    Args:
        run: Folder that `typika mine` made.
        host: Address to listen at; only this machine reaches the default.
        port: 8737, or any free one, by default.
        browser: Open the page, where there is a display.
        expose: Allow a host that other machines reach.
    """
    from typika.view import serving

    serving.view(run, host=host, port=port, browser=browser, expose=expose)
