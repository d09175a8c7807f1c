"""Parts of a run done by actors of a Ray cluster, of this machine or of many (extra `ray`).

An actor holds what a stage opens once (a model) and does part after part; each part is written
whole under a name of its own, into a run folder that every machine sees. Nothing but numbers of
parts goes through Ray: what a part holds, and so the result, does not depend on who does it, in
which order, or how often. A part whose actor is lost is done by another.
"""

from __future__ import annotations

import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from typika.console import say
from typika.errors import ConfigError, TypikaError
from typika.parallel import one_thread, with_crew

if TYPE_CHECKING:
    from types import ModuleType

HERE = "here"  # in the place of an address: a cluster of this machine alone, for this command
STORE = 200 * 2**20  # bytes of Ray's own memory there; it holds next to nothing
LOSSES = 3  # actors that may be lost over one part before the part is blamed
ATTEMPTS = 3  # to start Ray on this machine
REACHED = 10.0  # seconds in which the head of a cluster must be reached
PATIENCE = 60.0  # seconds without an actor before a word is said

# Ray says and sends nothing that nobody asked for, unless the environment says otherwise.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_V2_ENABLED": "0",
}


@contextmanager
def cluster(address: str, actors: int | None = None) -> Iterator[RayCrew]:
    """Let the actors of a Ray cluster do the parts of every stage inside the block.

    address: "here" for this machine alone, "auto" for the cluster that this machine is part of,
    or HOST:PORT of its head. actors: one for each GPU or core of the cluster by default; more
    than there is room for wait until the cluster grows.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers there.
    """
    ray = _ray()
    here = address == HERE
    _require_listener(address)
    options: dict[str, Any] = {"address": "local" if here else address}
    if here:
        options |= {"num_cpus": actors, "include_dashboard": False, "object_store_memory": STORE}
    _connect(ray, address, options)
    try:
        crew = RayCrew(actors)
        with with_crew(crew):
            yield crew
    finally:
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Raise ConfigError where nobody listens at HOST:PORT: Ray itself asks again for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        return  # no such address; Ray knows what it means
    try:
        socket.create_connection((host, int(port)), timeout=REACHED).close()
    except (OSError, OverflowError) as error:
        raise _nobody(address, error) from error


def _nobody(address: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"--ray {address}: no cluster answers ({error}); start one with `ray start --head`, or "
        f"pass --ray {HERE}"
    )


def _connect(ray: ModuleType, address: str, options: Mapping[str, Any]) -> None:
    """Start or find the cluster; a busy machine gets more than Ray's half minute to start one."""
    for attempt in range(ATTEMPTS):
        try:
            ray.init(**options, log_to_driver=False, logging_level="ERROR")
            return
        except Exception as error:  # Ray raises plain ones
            ray.shutdown()
            if attempt == ATTEMPTS - 1 or address != HERE:
                raise _nobody(address, error) from error


def _ray() -> ModuleType:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ConfigError("--ray needs Ray: pip install 'typika[ray]'") from error
    return ray


class PartsActor:
    """One actor: opens what `function` opens, and does the parts that it is given one by one.

    `function` runs in a thread of its own and takes its parts from an iterator, as it does in a
    plain process; that iterator waits for the next part.
    """

    def __init__(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._given: SimpleQueue[int] = SimpleQueue()
        self._outcomes: SimpleQueue[BaseException | None] = SimpleQueue()
        Thread(target=self._work, args=(function, arguments), daemon=True).start()

    def do(self, part: int) -> int:
        """Do one part; whatever goes wrong in it is raised here."""
        self._given.put(part)
        outcome = self._outcomes.get()
        if outcome is not None:
            raise outcome
        return part

    def ready(self) -> None:
        """Return once the actor is there."""

    def _parts(self) -> Iterator[int]:
        while True:
            yield self._given.get()
            self._outcomes.put(None)

    def _work(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            with one_thread():
                function(*arguments, self._parts(), _no_progress)
        except BaseException as error:
            self._outcomes.put(error)


def _no_progress(steps: int) -> None:
    """Progress is counted in finished parts, where they are given out."""


@dataclass(frozen=True)
class RayCrew:
    """The actors of the cluster that this process is connected to; see `parallel.Crew`."""

    actors: int | None = None

    def do_parts(
        self,
        function: Callable[..., None],
        arguments: tuple[Any, ...],
        parts: Sequence[int],
        *,
        on_gpu: bool,
        done: Callable[[int], None],
    ) -> None:
        """Do every part.

        Raises:
            TypikaError: a part lost three actors.
            Exception: whatever `function` raised.
        """
        shift = _Shift(function, arguments, on_gpu)
        for _ in range(min(self.actors or shift.room(), len(parts))):
            shift.call_in()
        try:
            shift.do(deque(parts), done)
        finally:
            shift.end()


class _Shift:
    """Actors at work on the parts of one stage: who does what, and who was lost over what."""

    def __init__(
        self, function: Callable[..., None], arguments: tuple[Any, ...], on_gpu: bool
    ) -> None:
        import ray

        self._ray: Any = ray  # whose own types say less than what it does
        resources = self._ray.cluster_resources()
        self._gpus = int(resources.get("GPU", 0)) if on_gpu else 0
        self._cpus = int(resources.get("CPU", 1))
        options = {"num_gpus": 1} if self._gpus else {"num_cpus": 1}
        self._actor = self._ray.remote(**options)(PartsActor)
        # Sent once, however many actors there will be.
        self._function, self._arguments = function, ray.put(arguments)
        self._busy: dict[Any, tuple[Any, int | None]] = {}  # what is awaited: actor, and its part
        self._losses: Counter[int | None] = Counter()

    def room(self) -> int:
        """Actors that the cluster has room for now."""
        return max(1, self._gpus or self._cpus)

    def call_in(self) -> None:
        """Ask for one more actor, which gets a part once it is there."""
        actor = self._actor.remote(self._function, self._arguments)
        self._busy[actor.ready.remote()] = actor, None

    def do(self, waiting: deque[int], done: Callable[[int], None]) -> None:
        """Give out parts until none is left."""
        left = len(waiting)
        while left:
            finished, _ = self._ray.wait(list(self._busy), timeout=PATIENCE)
            if not finished:
                self._say_if_nobody_came()
                continue
            actor, part = self._busy.pop(finished[0])
            if self._lost(finished[0], part):
                waiting.extendleft([] if part is None else [part])
                self.call_in()
                continue
            if part is not None:
                left -= 1
                done(part)
            if waiting:
                part = waiting.popleft()
                self._busy[actor.do.remote(part)] = actor, part

    def _lost(self, finished: Any, part: int | None) -> bool:
        """Whether the actor is lost; what its function raised is raised here."""
        exceptions = self._ray.exceptions
        try:
            self._ray.get(finished)
        except exceptions.RayTaskError as error:
            raise error.cause from error
        except exceptions.RayActorError as error:
            self._losses[part] += 1
            if self._losses[part] >= LOSSES:
                what = "before their first part" if part is None else f"over part {part}"
                raise TypikaError(
                    f"{LOSSES} Ray actors were lost {what}: {error}; look into the logs of Ray on "
                    "the machines, and run the same command again: what is finished is kept"
                ) from error
            return True
        return False

    def _say_if_nobody_came(self) -> None:
        if all(part is None for _, part in self._busy.values()):
            wants = "a GPU" if self._gpus else "a core"
            say(f"waiting for a machine of the cluster that has {wants} free")

    def end(self) -> None:
        """Send everybody home, those too who never came."""
        for actor, _ in self._busy.values():
            self._ray.kill(actor)
        self._busy.clear()
