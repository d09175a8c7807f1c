"""Parts done by actors are the parts that one process does, whoever is lost on the way."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from typika import distributed, parallel
from typika.errors import ConfigError, DataError, TypikaError
from typika.files import write_text
from typika.parallel import Advance


def square(folder: Path, parts: Iterable[int], advance: Advance) -> None:
    opened = 2  # what is opened once, such as a model
    for part in parts:
        if part == 7:
            raise DataError("part 7: cannot be read")
        write_text(folder / f"{part}", str(part**opened))
        advance(1)


def dying(often: int, folder: Path, parts: Iterable[int], advance: Advance) -> None:
    """Do parts, but end the process over part 3 the first times, as a lost machine would."""
    for part in parts:
        deaths = folder / f"death-{part}"
        count = int(deaths.read_text()) if deaths.exists() else 0
        if part == 3 and count < often:
            deaths.write_text(str(count + 1))
            os._exit(1)
        square(folder, [part], advance)


def written(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("[0-9]*"))}


def test_an_address_where_nobody_listens_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_ray", lambda: None)  # Ray itself is never asked
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        pytest.raises(ConfigError, match=f"--ray 127.0.0.1:{port}: no cluster answers"),
        distributed.cluster(f"127.0.0.1:{port}"),
    ):
        pass


class Alone:
    """A crew of one actor in this process."""

    def do_parts(
        self,
        function: Callable[..., None],
        arguments: tuple[Any, ...],
        parts: Sequence[int],
        *,
        on_gpu: bool,
        done: Callable[[int], None],
    ) -> None:
        assert not on_gpu
        actor = distributed.PartsActor(function, arguments)
        actor.ready()
        for part in reversed(parts):
            done(actor.do(part))


def run(folder: Path, parts: Sequence[int], workers: int = 1, hands: int | None = None) -> None:
    folder.mkdir()
    parallel.run_parts(
        square, (folder,), parts, workers=workers, name="squares", size=lambda _: 1, hands=hands
    )


def test_a_crew_does_what_processes_do(tmp_path: Path) -> None:
    run(tmp_path / "plain", range(6))
    run(tmp_path / "dealt", range(6), hands=4)
    with parallel.with_crew(Alone()):
        run(tmp_path / "crew", range(6))
    expected = {str(part): str(part**2) for part in range(6)}
    assert written(tmp_path / "plain") == expected
    assert written(tmp_path / "dealt") == expected
    assert written(tmp_path / "crew") == expected


def test_no_parts_are_no_work(tmp_path: Path) -> None:
    run(tmp_path / "plain", [])
    with parallel.with_crew(Alone()):
        run(tmp_path / "crew", [])
    assert not written(tmp_path / "plain") | written(tmp_path / "crew")


def test_what_goes_wrong_in_a_part_is_raised_where_it_was_asked_for(tmp_path: Path) -> None:
    with (
        parallel.with_crew(Alone()),
        pytest.raises(DataError, match="part 7: cannot be read"),
    ):
        run(tmp_path / "crew", [5, 6, 7])


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ConfigError, match=r"pip install 'typika\[ray\]'"),
        distributed.cluster("x"),
    ):
        pass


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_lost_actors_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'typika[ray]'")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # actors cannot import tests
    kept, lost = tmp_path / "kept", tmp_path / "lost"
    options: dict[str, Any] = {"workers": 1, "name": "squares", "size": lambda _: 1}
    with distributed.cluster(distributed.HERE, 2):
        kept.mkdir()
        parallel.run_parts(partial(dying, 1), (kept,), range(6), **options)
        assert written(kept) == {str(part): str(part**2) for part in range(6)}
        assert (kept / "death-3").exists()
        lost.mkdir()
        monkeypatch.setattr(distributed, "LOSSES", 1)
        with pytest.raises(TypikaError, match="1 Ray actors were lost over part 3"):
            parallel.run_parts(partial(dying, 9), (lost,), [3], **options)
        with pytest.raises(DataError, match="part 7"):
            parallel.run_parts(square, (lost,), [7], **options)
