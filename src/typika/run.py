"""The run folder: manifest, stages that resume, and the record of what was done.

A run is a folder that one configuration made. `run.json` says what happened and which digest of
causes each finished stage had; a stage whose causes are unchanged and whose files are all there is
not run again. A kill at any instant leaves a folder that the same command finishes, with the same
tables as if nothing had happened.
"""

from __future__ import annotations

import errno
import json
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from typika import __version__, config, files, ranks
from typika.console import say
from typika.errors import ConfigError, TypikaError

MANIFEST = "run.json"
RECIPE = "recipe.toml"
PACKAGES = ("torch", "numpy", "pyarrow", "scikit-learn", "pillow", "transformers", "diffusers",
            "accelerate", "peft")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a stage is known by.

    name:     the word on the command line.
    causes:   everything that decides its result: settings, and digests of what it reads.
    outputs:  files or folders it writes, relative to the run folder.
    shared:   whether every rank computes its share of it; else the leader does all.
    """

    name: str
    causes: Mapping[str, Any]
    outputs: tuple[str, ...]
    shared: bool = False

    @property
    def digest(self) -> str:
        """Digest of the causes and of the version of typika, since code is a cause too."""
        return config.digest({"version": __version__, **self.causes})


class Run:
    """A run folder, open for one process at a time.

    Use `Run.create` to make or resume one, `Run.reopen` to add stages to one that is finished,
    `Run.read` to look at it.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    @contextmanager
    def create(
        cls, folder: Path, settings: Any, *, facts: Mapping[str, Any], overwrite: bool = False
    ) -> Iterator[Run]:
        """Open `folder` for writing under `settings` (a configuration), resuming what is there.

        facts: entries that `run.json` records and that decide nothing (command line, source).

        Raises:
            ConfigError: the folder was made with another configuration (the message shows the
                difference), holds something else, or is in use by another process.
        """
        if not ranks.world().leads:
            ranks.wait()  # until the leader has opened it
            yield cls.read(folder)
            return
        _make_folder(folder)
        with _locked(folder):
            files.sweep(folder)
            manifest = _read_manifest(folder) or _new_manifest()
            values = json.loads(json.dumps(config.as_values(settings)))
            _require_same_settings(folder, manifest, values, overwrite)
            manifest.update({"typika": __version__, "config": values, **facts})
            run = cls(folder, manifest)
            run._write()
            files.write_text(folder / RECIPE, config.as_toml(settings))
            ranks.wait()
            yield run

    @classmethod
    @contextmanager
    def reopen(cls, folder: Path) -> Iterator[Run]:
        """Open a run for further stages, under the settings that it was made with.

        Raises:
            ConfigError: there is no run, or it is in use by another process.
        """
        cls.read(folder)
        if not ranks.world().leads:
            ranks.wait()  # until the leader has opened it
            yield cls.read(folder)
            return
        with _locked(folder):
            files.sweep(folder)
            run = cls.read(folder)
            run.manifest["typika"] = __version__
            run._write()
            ranks.wait()
            yield run

    def finished(self, name: str) -> bool:
        """Whether a stage has run to its end."""
        return "finished" in self.manifest["stages"].get(name, {})

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Open a run folder for reading. Raises ConfigError where there is none."""
        manifest = _read_manifest(folder)
        if manifest is None:
            raise ConfigError(
                f"{folder}: no {MANIFEST} here; pass a folder that `typika mine` made"
            )
        return cls(folder, manifest)

    def path(self, *parts: str) -> Path:
        """A path inside the run folder."""
        return self.folder.joinpath(*parts)

    def stage(self, stage: Stage, compute: Callable[[], None]) -> bool:
        """Run `compute` unless the stage is finished already; True where it ran.

        While a stage is under way the manifest holds its digest, so that what a killed process
        finished of it (a checkpoint, a part file) is used again only under the same causes. Of
        several ranks the leader decides and records; all of them must call this.
        """
        leads = ranks.world().leads
        needed = ranks.agree(int(self._begin(stage)) if leads else 0)
        if not needed:
            self._reread()
            return False
        started = time.monotonic()
        if leads or stage.shared:
            compute()
        ranks.wait()
        if leads:
            digests = {name: self._output_digest(name) for name in stage.outputs}
            self._record(
                stage,
                {
                    "digest": stage.digest,
                    "outputs": digests,
                    "seconds": round(time.monotonic() - started, 2),
                    "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                },
            )
        ranks.wait()
        self._reread()
        return True

    def _begin(self, stage: Stage) -> bool:
        """Whether the stage must run; if so, what stood in its place under other causes goes."""
        record = self.manifest["stages"].get(stage.name, {})
        if record.get("digest") == stage.digest and self._complete(stage, record):
            say(f"{stage.name}: already done")
            return False
        if record.get("digest") != stage.digest or "finished" in record:
            self._clear(stage)
            self._record(stage, {"digest": stage.digest})
        else:
            self._drop_broken(stage)
        return True

    def _drop_broken(self, stage: Stage) -> None:
        """Remove part files of an unfinished stage that cannot be read; they are made anew.

        A kill leaves none, but a disk or a copy may.
        """
        for name in stage.outputs:
            place = self.path(name)
            inside = sorted(place.rglob("*")) if place.is_dir() else [place]
            for path in inside:
                if path.is_file() and not _readable(path):
                    say(f"{path}: cannot be read; it is made again")
                    path.unlink()

    def _reread(self) -> None:
        """What the leader has recorded, for those who follow."""
        if not ranks.world().leads:
            self.manifest = _read_manifest(self.folder) or self.manifest

    def output_digest(self, name: str) -> str:
        """Digest of everything that the finished stage `name` wrote: a cause of later stages."""
        return config.digest(self.manifest["stages"][name]["outputs"])

    def seconds(self) -> dict[str, float]:
        """How long each finished stage took when it ran, in seconds."""
        stages = self.manifest["stages"].items()
        return {name: stage["seconds"] for name, stage in stages if "seconds" in stage}

    def _complete(self, stage: Stage, record: Mapping[str, Any]) -> bool:
        outputs = record.get("outputs", {})
        return "finished" in record and all(
            name in outputs and outputs[name] == self._output_digest(name)
            for name in stage.outputs
        )

    def _output_digest(self, name: str) -> str | None:
        place = self.path(name)
        if place.is_file():
            return files.file_digest(place)
        if not place.is_dir():
            return None
        inside = sorted(path for path in place.rglob("*") if path.is_file())
        return config.digest(
            {path.relative_to(place).as_posix(): files.file_digest(path) for path in inside}
        )

    def _clear(self, stage: Stage) -> None:
        for name in stage.outputs:
            place = self.path(name)
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)

    def _record(self, stage: Stage, record: dict[str, Any]) -> None:
        self.manifest["stages"][stage.name] = record
        self._write()

    def _write(self) -> None:
        text = json.dumps(self.manifest, indent=2, ensure_ascii=False)
        files.write_text(self.path(MANIFEST), text + "\n")


def _readable(path: Path) -> bool:
    """Whether a part file is whole, as far as its kind tells."""
    if path.suffix == ".parquet":
        from typika.tables import is_readable

        return is_readable(path)
    if path.suffix == ".npy":
        import numpy as np

        try:
            np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError):
            return False
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy"):
                return True
        except (SafetensorError, OSError):
            return False
    return True


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A stage whose files are partly there, as a killed process would leave them."""

    digest: str  # of the stage that will go on
    outputs: tuple[str, ...]


def adopt(
    finished: Path, folder: Path, stages: Sequence[str], begun: Mapping[str, Begun] | None = None
) -> None:
    """Begin a run folder with what stages of another run wrote, and with their records.

    finished: a run folder, which stays as it is. folder: the new one; nothing happens where it
    holds anything. Files are hard links where the file system allows it, since typika replaces
    files and never writes into one. A stage that `finished` has not finished is left out.

    Raises:
        ConfigError: `finished` is no run folder.
    """
    records = Run.read(finished).manifest["stages"]
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        return
    manifest = _new_manifest()
    done = [name for name in stages if "finished" in records.get(name, {})]
    begun = begun or {}
    manifest["stages"] = {
        **{name: records[name] for name in done},
        **{name: {"digest": one.digest} for name, one in begun.items()},
    }
    outputs = [name for stage in done for name in records[stage]["outputs"]]
    outputs += [name for one in begun.values() for name in one.outputs]
    with files.whole_folder(folder) as temporary:
        for name in outputs:
            link(finished / name, temporary / name)
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        files.write_text(temporary / MANIFEST, text + "\n")


def link(place: Path, target: Path) -> None:
    """Hard links of a file or of all files of a folder; copies where links cannot be."""
    inside = sorted(place.rglob("*")) if place.is_dir() else [place]
    for path in inside:
        if not path.is_file() or path.name.startswith("."):
            continue
        own = target / path.relative_to(place) if place.is_dir() else target
        own.parent.mkdir(parents=True, exist_ok=True)
        try:
            own.hardlink_to(path)
        except OSError:
            shutil.copy2(path, own)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file" if error.errno == errno.EEXIST else error.strerror
        raise ConfigError(
            f"{folder}: cannot make the run folder ({reason}); pass --out"
        ) from error
    # The lock and a stray temporary file do not make a folder somebody else's.
    foreign = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if foreign and not (folder / MANIFEST).exists():
        raise ConfigError(
            f"{folder}: holds {foreign[0].name} but no {MANIFEST}, so it is not a run folder; "
            "pass --out with a new folder"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"{folder}: another typika process is working here; wait for it"
        ) from None
    except OSError as error:
        raise ConfigError(f"{folder}: cannot write here ({error.strerror}); pass --out") from error
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise TypikaError(
            f"{folder}: the disk is full; free some space and run the same command again: "
            "what is finished is kept"
        ) from error
    finally:
        lock.release()


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        manifest = files.read_json(path.read_text(encoding="utf-8"))
        _require_manifest(manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: not a manifest of typika; pass --out with a new folder"
        ) from error
    return manifest


def _require_manifest(manifest: Any) -> None:
    """Raise TypeError or KeyError where a manifest is not what `Run` writes."""
    stages, settings = manifest["stages"], manifest["config"]
    source = manifest.get("source", "")
    if not isinstance(stages, dict) or not isinstance(settings, dict | None):
        raise TypeError("stages and config")
    if not isinstance(source, str | None):
        raise TypeError("source")
    for stage in stages.values():
        if not isinstance(stage.get("outputs", {}), dict) or not isinstance(
            stage.get("seconds", 0), int | float
        ):
            raise TypeError("outputs and seconds of a stage")
        if "finished" in stage and "outputs" not in stage:
            raise KeyError("outputs")


def _new_manifest() -> dict[str, Any]:
    return {
        "typika": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: found for name in PACKAGES if (found := _installed(name))},
        "argv": sys.argv[1:],
        "config": None,
        "stages": {},
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _require_same_settings(
    folder: Path, manifest: Mapping[str, Any], values: Mapping[str, Any], overwrite: bool
) -> None:
    before = manifest["config"]
    if before is None or overwrite or not manifest["stages"]:
        return  # nothing was made with another configuration
    changed = config.differences(before, values)
    if changed:
        raise ConfigError(
            f"{folder}: made with another configuration:\n  "
            + "\n  ".join(changed)
            + "\npass --out with a new folder, or --overwrite to redo the stages that change"
        )
