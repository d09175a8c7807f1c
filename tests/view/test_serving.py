"""The door frame: hosts, ports, locks, signals, and what is not installed."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from typika.cli import main
from typika.errors import ConfigError
from typika.view import serving


def failing(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["view", *arguments])
    return int(stop.value.code or 0)


def test_what_cannot_be_served_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(str(tmp_path)) == 2
    assert "no run.json here" in capsys.readouterr().err
    (tmp_path / "run.json").write_text('{"source": "x", "config": {}, "stages": {}}')
    assert failing(str(tmp_path), "--no-browser") == 2
    assert "typika mine" in capsys.readouterr().err
    assert failing(str(tmp_path), "--host", "0.0.0.0") == 2
    assert "--expose" in capsys.readouterr().err
    with serving._alone(tmp_path):
        assert failing(str(tmp_path)) == 2
    assert "open in another `typika view`" in capsys.readouterr().err


def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert failing(str(tmp_path)) == 2
    assert "pip install 'typika[view]'" in capsys.readouterr().err


def test_a_port_that_is_taken() -> None:
    with serving._listening("127.0.0.1", 0) as first:
        taken = first.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"port {taken}"),
            serving._listening("127.0.0.1", taken),
        ):
            pass
    with pytest.raises(ConfigError, match="port 99999"), serving._listening("127.0.0.1", 99999):
        pass
    # Where nobody asked for a port, another one will do.
    with serving._listening("127.0.0.1", None), serving._listening("127.0.0.1", None) as second:
        assert second.getsockname()[1] != serving.PORT


def test_a_browser_opens_only_where_one_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not serving.has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert serving.has_display()


def test_a_distant_page_names_the_machine() -> None:
    entry = serving._pass_for("0.0.0.0", 1)
    assert entry.any_address
    assert socket.gethostname().lower() in entry.names
    assert serving._in_address("::1") == "[::1]"
    assert not serving._pass_for("127.0.0.1", 1).any_address


# In a process of its own: a browser that other tests keep open has an event loop in this one.
INTERRUPTED = """
import os, signal, threading
from typika.view import serving
from typika.view.guard import Pass

for sign in (signal.SIGINT, signal.SIGTERM):
    with serving._listening("127.0.0.1", 0) as listener:
        end = lambda: threading.Thread(target=os.kill, args=(os.getpid(), sign)).start()
        server = serving.server_of(None, Pass(token="x", port=1), end)
        server.run(sockets=[listener])
        print("ended", server.should_exit)
"""


def test_an_interrupt_ends_the_server_well() -> None:
    found = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120
    )
    assert (found.returncode, found.stdout) == (0, "ended True\n" * 2), found.stderr
