"""Reports opened in a browser that notes every noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from typika.report.build import build_page
from typika.report.html import write_report
from typika.report.records import ReportInputs


@pytest.fixture
def open_quietly(browser: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens a file in a page; afterwards the page must have been quiet.

    Quiet: nothing on the console, no request but the file itself, no dialog of a script.
    """
    noises: list[str] = []
    contexts: list[Any] = []

    def open_(path: Path, **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        context.add_init_script("window.alerts = []; window.alert = (x) => window.alerts.push(x)")
        page = context.new_page()
        page.on("console", lambda message: noises.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: noises.append(f"error: {error}"))
        page.on("request", lambda request: noises.append(_outside(request.url, path)))
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("window.alerts") == []
        context.close()
    assert [noise for noise in noises if noise] == []


@pytest.fixture
def open_report(open_quietly: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """A function that opens the report of some inputs."""

    def open_(inputs: ReportInputs, **options: Any) -> Any:
        path = tmp_path / "report.html"
        write_report(build_page(inputs), path)
        page = open_quietly(path, **options)
        page.wait_for_selector(".cluster, [role=tabpanel]", state="attached")
        return page

    return open_


def _outside(url: str, path: Path) -> str:
    inside = url.startswith(("data:", "blob:")) or url.split("#")[0] == path.as_uri()
    return "" if inside else f"request: {url}"
