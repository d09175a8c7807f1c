"""From a run folder to an open page: view()."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typika.console import say
from typika.errors import ConfigError
from typika.mining.pipeline import Mining
from typika.report.build import build_page
from typika.report.html import render_live
from typika.report.inputs import report_inputs
from typika.report.records import ReportInputs
from typika.run import Run
from typika.workflow import recorded

if TYPE_CHECKING:
    import uvicorn

    from typika.view.guard import Pass
    from typika.view.session import Session

PORT = 8737  # or any other, where it is taken
INSTALL = "pip install 'typika[view]'"
LOCK = ".view.lock"


class RunSource:
    """A run folder, read again when its clusters change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def digest(self) -> str:
        """Of what the stages that the page shows have written."""
        stages = Run.read(self.folder).manifest["stages"]
        shown = {name: stages.get(name, {}) for name in ("score", "cluster", "evidence", "rare")}
        return json.dumps({name: stage.get("outputs") for name, stage in shown.items()},
                          sort_keys=True)  # fmt: skip

    def read(self) -> ReportInputs:
        """The run as it was found.

        Raises:
            ConfigError: no run of `typika mine`, or one whose patches are not grouped.
        """
        source, config = recorded(self.folder)
        run = Run.read(self.folder)
        if not run.finished("cluster"):
            raise ConfigError(
                f"{self.folder}: patches are not grouped; run `typika mine {self.folder}` first"
            )
        mining = Mining(run, source, config, workers=1)
        return report_inputs(mining, time.strftime("%Y-%m-%d"))

    def render(self, inputs: ReportInputs, base: str) -> str:
        """The page, as large as the run's own report may be."""
        _, config = recorded(self.folder)
        page = build_page(inputs, max_megabytes=config.report.max_megabytes)
        return render_live(page, base)


def view(
    run: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    expose: bool = False,
) -> None:
    """Serve the report of a run until interrupted; clusters can be changed in the browser.

    Prints the page's address, which holds a secret. host: to listen at. port: PORT by default, or
    any free one. browser: open the page where there is a display. expose: allow a host that other
    machines reach.

    Raises:
        ConfigError: no such run; it is open already; a port that is taken; a host that others
            reach, without `expose`; fastapi or uvicorn are not installed.
        DataError: curation.json is not one.
    """
    _require_packages()
    from typika.view.session import Session

    folder = Path(run)
    _require_host(host, expose)
    source = RunSource(folder)
    source.digest()  # raises where there is no run
    with _ended_well(), _alone(folder), _listening(host, port) as listener:
        say(f"{folder}: reading")
        session = Session(source)
        entry = _pass_for(host, listener.getsockname()[1])
        address = f"http://{_in_address(host)}:{entry.port}/?token={entry.token}"
        if expose:
            say("whoever reaches this machine and knows the address can see and change this run, "
                "and the way there is not encrypted")  # fmt: skip

        def ready() -> None:
            print(address, flush=True)
            if browser and has_display():
                threading.Thread(target=_show, args=(address,), daemon=True).start()

        server_of(session, entry, ready).run(sockets=[listener])
    say(f"{folder}: closed; edits are in {folder / 'curation.json'}, `typika report {folder}` "
        "writes them into the report")  # fmt: skip


def _show(address: str) -> None:
    import webbrowser

    webbrowser.open(address)


def has_display() -> bool:
    """Whether a browser could show itself."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _require_packages() -> None:
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"typika view needs {error.name or 'fastapi'}; {INSTALL}") from error


def _require_host(host: str, expose: bool) -> None:
    from typika.view.guard import LOOPBACK

    if host not in LOOPBACK and not expose:
        raise ConfigError(
            f"--host {host}: other machines would reach this run; pass --expose too if that is "
            "meant, or reach a distant machine by `ssh -L`"
        )


def _pass_for(host: str, port: int) -> Pass:
    from typika.view.guard import LOOPBACK, Pass

    names = (
        LOOPBACK if host in LOOPBACK else LOOPBACK | {host.lower(), socket.gethostname().lower()}
    )
    return Pass(token=secrets.token_urlsafe(32), port=port, names=names,
                any_address=host not in LOOPBACK)  # fmt: skip


def _in_address(host: str) -> str:
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"[{name}]" if ":" in name else name


@contextmanager
def _ended_well() -> Iterator[None]:
    """Let go of the run where a service manager ends the process before the server is up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other servers off a run; whoever reads it, or goes on with it, is not kept off."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"{folder}: open in another `typika view`; use the address that it printed, or end it"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot write here ({error.strerror}), so edits could not be saved; copy "
            "the run"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _listening(host: str, port: int | None) -> Iterator[socket.socket]:
    """A socket that listens; requests wait there until the server is up."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in (port,) if port is not None else (PORT, 0):
        listener = socket.socket(family)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, wanted))
            listener.listen(64)
            break
        except (OSError, OverflowError) as error:
            listener.close()
            if wanted != PORT or port is not None:
                reason = getattr(error, "strerror", None) or error
                raise ConfigError(
                    f"{host}, port {wanted}: cannot listen there ({reason}); pass another --port"
                ) from error
    try:
        yield listener
    finally:
        listener.close()


def server_of(
    session: Session, entry: Pass, ready: Callable[[], None] = lambda: None
) -> uvicorn.Server:
    """What serves a session. Its `run` takes a socket that listens, and calls `ready` once up."""
    import uvicorn

    from typika.view.app import build_app

    class Server(uvicorn.Server):
        """One that an interrupt ends well: that is how it is meant to end."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            with super().capture_signals():
                yield
                self._captured_signals.clear()

    # The log of requests would hold the token.
    settings: dict[str, Any] = {"log_level": "warning", "access_log": False, "lifespan": "off",
                                "server_header": False, "timeout_graceful_shutdown": 3,
                                "ws": "none"}  # fmt: skip
    return Server(uvicorn.Config(build_app(session, entry), **settings))
