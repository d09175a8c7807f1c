"""The same work in one process or in several, with the same result.

Every task runs on one thread, because more threads would change the order of sums, and so the
last digits; speed comes from several processes instead. A task must depend on nothing but its
arguments and must leave its result in a file of its own or return it.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from typika.console import task as progress_task

Result = TypeVar("Result")
Advance = Callable[[int], None]

MOST_WORKERS = 16
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
POLL = 0.3  # seconds between looks at the workers' progress


def default_workers() -> int:
    """Processes to use where the user does not say: one per core that this process may use."""
    return max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0)) if _has_affinity() else _cores()))


def _has_affinity() -> bool:
    return hasattr(os, "sched_getaffinity")


def _cores() -> int:
    return os.cpu_count() or 1


def run_tasks(
    function: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    *,
    workers: int,
    name: str,
    total: int,
) -> list[Result]:
    """Call `function(*task, advance)` for every task; results in the order of the tasks.

    `advance(steps)` moves the progress shown under `name`, of `total` steps over all tasks.
    An exception of a task ends the others and is raised here.
    """
    if not tasks:
        return []
    with progress_task(name, total) as advance:
        if workers == 1 or len(tasks) == 1:
            with one_thread():
                return [function(*task, advance) for task in tasks]
        return _run_in_processes(function, tasks, min(workers, len(tasks)), advance)


class Crew(Protocol):
    """Workers beyond this machine's processes, such as `distributed.RayCrew`."""

    def do_parts(
        self,
        function: Callable[..., None],
        arguments: tuple[Any, ...],
        parts: Sequence[int],
        *,
        on_gpu: bool,
        done: Callable[[int], None],
    ) -> None:
        """Call `function(*arguments, parts, advance)` on every worker, of which each takes parts.

        `parts` is an iterator there, which gives the worker its next part when the last is done.
        `done(part)` is called here for each finished part. on_gpu: whether a worker needs a GPU,
        where there are some.
        """
        ...


_crew: ContextVar[Crew | None] = ContextVar("crew", default=None)


@contextmanager
def with_crew(crew: Crew) -> Iterator[None]:
    """Let `run_parts` use other workers than processes of this machine inside the block."""
    token = _crew.set(crew)
    try:
        yield
    finally:
        _crew.reset(token)


def run_parts(
    function: Callable[..., None],
    arguments: tuple[Any, ...],
    parts: Sequence[int],
    *,
    workers: int,
    name: str,
    size: Callable[[int], int],
    hands: int | None = None,
    on_gpu: bool = False,
) -> None:
    """Call `function(*arguments, some_parts, advance)` until every part is done.

    `function` opens what it needs (a model), goes through the parts that it is given, and leaves
    of each part whole files under names that the part alone decides: it does not matter who does
    a part, nor if it is done twice. size: steps of a part. hands: calls that the parts are dealt
    to, four for each process by default. Under `with_crew` its workers do the parts.
    """
    total = sum(size(part) for part in parts)
    crew = _crew.get()
    if crew is not None and parts:
        with progress_task(name, total) as advance:
            crew.do_parts(
                function, arguments, parts, on_gpu=on_gpu, done=lambda part: advance(size(part))
            )
        return
    count = max(1, min(len(parts), hands or (4 * workers if workers > 1 else 1)))
    tasks = [(*arguments, list(parts[hand::count])) for hand in range(count)]
    run_tasks(function, tasks if parts else [], workers=workers, name=name, total=total)


def _run_in_processes(
    function: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    workers: int,
    advance: Advance,
) -> list[Result]:
    # Processes that do not import the caller's main module: a user's script needs no guard.
    from joblib import Parallel, delayed

    with (
        tempfile.TemporaryDirectory(prefix="typika-") as folder,
        _polling(Path(folder), advance),
        _workers_may_be_replaced(),
    ):
        parallel = Parallel(n_jobs=workers, backend="loky", batch_size=1)
        return list(
            parallel(
                delayed(_call)(function, task, Path(folder) / str(number))
                for number, task in enumerate(tasks)
            )
        )


@contextmanager
def _workers_may_be_replaced() -> Iterator[None]:
    """Let joblib start a new worker for one that grew or idled, without a word.

    It warns of that in the thread that manages the workers, which, where warnings are errors,
    ends the thread: the caller would wait for results for ever.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        yield


def _call(function: Callable[..., Result], task: tuple[Any, ...], counter: Path) -> Result:
    done = 0

    def advance(steps: int) -> None:
        nonlocal done
        done += steps
        counter.write_text(str(done))

    with one_thread():
        return function(*task, advance)


@contextmanager
def _polling(folder: Path, advance: Advance) -> Iterator[None]:
    """Sum up what the workers write into their counters, and show it."""
    finished = threading.Event()
    shown = 0

    def look() -> None:
        nonlocal shown
        texts = [path.read_text() for path in folder.iterdir()]
        # A counter is empty for an instant while its worker rewrites it.
        done = sum(int(text) for text in texts if text)
        advance(max(done - shown, 0))
        shown = max(done, shown)

    def watch() -> None:
        while not finished.wait(POLL):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()
        look()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch and the linear algebra libraries on one thread inside the block.

    The process keeps freed memory from then on; see `keep_freed_memory`.
    """
    import torch
    from threadpoolctl import threadpool_limits

    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@cache
def keep_freed_memory() -> None:
    """Let this process reuse freed blocks of megabytes instead of handing them back.

    glibc hands such blocks back to the kernel, which clears their pages anew at every layer of a
    network: up to a third of the time of encoding. Other systems are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(M_TRIM_THRESHOLD, 256 * 2**20)
