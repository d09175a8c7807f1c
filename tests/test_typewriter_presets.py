"""The published model through the whole pipeline, and several processes on one typewriter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from typika import config as settings
from typika import typewriting
from typika.collection.rendered_lines import render_lines, write_lines
from typika.devices import named_device
from typika.errors import ConfigError, ModelError
from typika.typewriter.alphabet import Alphabet
from typika.typewriter.batches import Line, ink_and_paper
from typika.typewriter.decoding import redraw
from typika.typewriter.kinds import KINDS
from typika.typewriter.learner import Learner, LearningConfig
from typika.typewriter.model import ModelConfig, Typewriter
from typika.typewriter.published import PublishedTypewriter
from typika.typewriter.published_config import PublishedConfig
from typika.typewriter.redraws import Redraws
from typika.typewriter.stages import MODEL, TypewriterConfig
from typika.typewriter.store import Trained, load_typewriter, save_typewriter
from typika.typewriter.training import Checkpoints, Learns, Progress, TrainingConfig, train

SMALL = {"height": 32, "encoder_blocks": 1}
BRIEF = {"steps": 3, "batch": 2, "checks": 3}


def paper(**changes: dict) -> TypewriterConfig:
    changes = {"model": SMALL, "training": BRIEF} | changes
    return typewriting.configure(changes, preset="paper")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typing") / "lines"
    write_lines(folder, render_lines(5, seed=0, split="train", height=32))
    for text in folder.glob("*.gt.txt"):  # low lines have too few cells for all of their letters
        text.write_text(text.read_text(encoding="utf-8")[::3], encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def fitted(lines: Path, tmp_path_factory: pytest.TempPathFactory) -> typewriting.TypewriterRun:
    out = tmp_path_factory.mktemp("run") / "run"
    return typewriting.fit(lines, out, config=paper(), device="cpu")


def rendered(n: int) -> tuple[list[Line], Alphabet]:
    drawn = render_lines(n, seed=1, split="train", height=32)
    alphabet = Alphabet.of([line.text for line in drawn], spaces=True)
    found = []
    for number, line in enumerate(drawn):
        ink, paper_colour = ink_and_paper(line.pixels, None)
        symbols = alphabet.encode(line.text[::3])
        found.append(Line(f"{number:02d}", line.pixels, None, symbols, paper_colour, ink))
    return found, alphabet


def lively(alphabet: Alphabet, **changes: object) -> PublishedTypewriter:
    """A published model whose cells place and colour their sprites differently."""
    config = PublishedConfig(height=32, encoder_blocks=1, **changes)  # type: ignore[arg-type]
    model = KINDS["published"].build(config, alphabet, 0)
    assert isinstance(model, PublishedTypewriter)
    torch.manual_seed(0)
    for value in [*model.placing.parameters(), *model.background.parameters()]:
        torch.nn.init.normal_(value, std=0.1)
    return model


# --- the preset ---------------------------------------------------------------------------------


def test_the_preset_is_the_published_run_on_printed_books() -> None:
    config = typewriting.configure(preset="paper")
    assert isinstance(config.model, PublishedConfig)
    assert (config.model.height, config.model.ctc_weight) == (64, 0.1)
    assert (config.training.batch, config.training.n_steps(4000)) == (16, 100 * 250)
    wide = [Line("", np.zeros((64, 9000, 3), np.uint8), None, None, (1.0,) * 3, (0.0,) * 3)]
    assert config.training.size(wide) == 16
    hard = typewriting.configure(preset="paper-copiale")
    assert isinstance(hard.model, PublishedConfig)
    assert (hard.model.height, hard.model.ctc_weight, hard.training.epochs) == (96, 0.01, 500)


def test_what_is_set_lies_above_the_preset_and_is_recorded(
    fitted: typewriting.TypewriterRun,
) -> None:
    config = paper()
    assert config.model == PublishedConfig(height=32, encoder_blocks=1)
    text = (fitted.folder / "recipe.toml").read_text(encoding="utf-8")
    assert 'kind = "published"' in text
    again = settings.read_toml(fitted.folder / "recipe.toml")
    assert settings.build(TypewriterConfig, again) == config
    one, other = paper(), paper(model={**SMALL, "ctc_weight": 0.2})
    assert settings.digest(one) != settings.digest(other)


def test_settings_of_the_other_kind_are_named() -> None:
    with pytest.raises(ConfigError, match=r"model\.stride: unknown"):
        paper(model={"stride": 8})
    with pytest.raises(ConfigError, match=r"model\.kind='x': expected one of typika, published"):
        typewriting.configure({"model": {"kind": "x"}})
    with pytest.raises(ConfigError, match="preset 'papers': expected one of paper"):
        typewriting.configure(preset="papers")
    assert isinstance(typewriting.configure().model, ModelConfig)


# --- the pipeline -------------------------------------------------------------------------------


def test_a_published_run_goes_from_lines_to_a_report(
    fitted: typewriting.TypewriterRun, lines: Path
) -> None:
    assert fitted.readings.num_rows == 5
    rows = fitted.readings.to_pylist()
    assert all(np.isfinite([row["residual"], row["reconstruction"]]).all() for row in rows)
    aligned = [row for row in rows if row["aligned"]]
    for row in aligned:
        own = [one for one in fitted.characters.to_pylist() if one["line_id"] == row["line_id"]]
        assert "".join(one["character"] for one in own) == row["text"]
    assert aligned
    page = fitted.report.read_text(encoding="utf-8")
    assert "as published, lines 32 px high" in page
    assert 'class="sprite' in page or "data:image/png" in page
    read = typewriting.transcribe(fitted.folder, lines, device="cpu")
    assert read.readings["read"].to_pylist() == [row["read"] for row in rows]
    found = typewriting.evaluate(fitted.folder, lines, device="cpu")
    mean = np.mean([row["reconstruction"] for row in rows])
    assert found.reconstruction == pytest.approx(mean)


def test_a_published_model_comes_back(fitted: typewriting.TypewriterRun, tmp_path: Path) -> None:
    trained = fitted.trained
    assert isinstance(trained.model, PublishedTypewriter)
    assert isinstance(trained.model, Redraws)
    save_typewriter(trained, tmp_path / "copy")
    again = load_typewriter(tmp_path / "copy")
    assert again.model.config == trained.model.config
    for name, value in trained.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value)
    meaning = json.loads((fitted.folder / MODEL / "typewriter.json").read_text())
    assert meaning["model"]["kind"] == "published"


def test_a_kind_of_another_version_is_named(tmp_path: Path) -> None:
    model = Typewriter(ModelConfig(height=32, stride=8), 2, space=None,
                       generator=torch.Generator().manual_seed(0))  # fmt: skip
    save_typewriter(Trained(model, Alphabet(("a", "b")), "NFC"), tmp_path / "model")
    place = tmp_path / "model" / "typewriter.json"
    place.write_text(place.read_text().replace('"typika",\n    "height"', '"new",\n    "height"'))
    with pytest.raises(ModelError, match="not a typewriter that this version reads"):
        load_typewriter(tmp_path / "model")


def test_a_published_run_that_was_killed_ends_with_the_same_weights(
    fitted: typewriting.TypewriterRun, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    save = Checkpoints.save

    def dying(self: Checkpoints, learner: Learns, progress: Progress, *, better: bool) -> None:
        save(self, learner, progress, better=better)
        if progress.step == 2:
            raise Killed

    monkeypatch.setattr(Checkpoints, "save", dying)
    with pytest.raises(Killed):
        typewriting.fit(lines, tmp_path / "run", config=paper(), device="cpu")
    monkeypatch.setattr(Checkpoints, "save", save)
    again = typewriting.fit(lines, tmp_path / "run", config=paper(), device="cpu")
    for name, value in fitted.trained.model.state_dict().items():
        assert torch.equal(again.trained.model.state_dict()[name], value), name


# --- where a published model says its characters are --------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"centred_windows": True}, {"sprites_per_character": 2}])
def test_characters_are_where_the_windows_draw_them(changes: dict) -> None:
    found, alphabet = rendered(2)
    model = lively(alphabet, **changes)
    with torch.no_grad():  # sharp edges: a box is then where both ways of looking find it
        model.bank.codes.uniform_(0, 1)
    for drawn in redraw(model, found, alphabet):
        own = drawn.characters
        cells = list(zip([0] * len(own.cell), own.cell.tolist(), own.symbol.tolist(), strict=True))
        boxes = model.boxes(drawn.batch, cells).numpy()
        inked = np.flatnonzero(own.symbol.numpy() != alphabet.space)
        width = drawn.batch.image.shape[3]
        inside = np.clip(boxes, 0, [width, 32, width, 32])
        np.testing.assert_allclose(drawn.alignment.boxes[inked], inside[inked], atol=1.5)


def test_the_drawing_of_a_published_model_is_its_own_reconstruction() -> None:
    found, alphabet = rendered(1)
    model = lively(alphabet)
    (drawn,) = redraw(model, found, alphabet)
    image = model.reconstruct(drawn.batch)
    error = (image - drawn.batch.image).square().mean().item()
    assert drawn.alignment.reconstruction == pytest.approx(error, rel=1e-5)


# --- devices and processes ----------------------------------------------------------------------


def test_a_device_that_is_not_there_is_named(lines: Path, tmp_path: Path) -> None:
    assert named_device("cpu") == torch.device("cpu")
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(ConfigError, match=f"device={missing}: not on this machine"):
        typewriting.fit(lines, tmp_path / "run", config=paper(), device=missing)
    with pytest.raises(ConfigError, match="device=toaster: expected auto, cpu, cuda"):
        named_device("toaster")


def learned(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    """Three steps of four lines each, shown as they are; what every rank ends with."""
    found, alphabet = rendered(4)
    config = {
        "typika": ModelConfig(height=32, stride=8),
        "published": PublishedConfig(height=32, encoder_blocks=1, warm_start_steps=0),
    }[kind]
    model = KINDS[kind].build(config, alphabet, 0)
    learner = KINDS[kind].teach(model, LearningConfig(augment=False, blur=0.0, pull=0.0))
    if isinstance(learner, Learner):
        learner.surprise.fill_(0.5)  # draw from the first step on
    train(learner, found, [], alphabet, TrainingConfig(steps=3, batch=4, checks=1), seed=0,
          checkpoints=Checkpoints(folder / kind))  # fmt: skip
    return dict(model.state_dict())


@pytest.mark.slow
def test_two_ranks_learn_nearly_what_one_does(tmp_path: Path) -> None:
    """Directions agree to a cosine of 0.8, seen 0.88: half a batch has other statistics."""
    code = (
        "import sys, torch; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "import test_typewriter_presets as t\n"
        "from typika import ranks\n"
        "for kind in ('typika', 'published'):\n"
        "    ended = t.learned(Path(sys.argv[1]), kind)\n"
        "    torch.save(ended, Path(sys.argv[1]) / f'{kind}-{ranks.world().rank}.pt')\n"
        "ranks.leave()\n"
    )
    (tmp_path / "script.py").write_text(code)
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
         str(tmp_path / "script.py"), str(tmp_path), str(Path(__file__).parent)],
        check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=900,
    )  # fmt: skip
    _, alphabet = rendered(4)
    starts = {"typika": ModelConfig(height=32, stride=8),
              "published": PublishedConfig(height=32, encoder_blocks=1)}  # fmt: skip
    for kind, config in starts.items():
        one = learned(tmp_path / "one", kind)
        first, second = (torch.load(tmp_path / f"{kind}-{rank}.pt") for rank in (0, 1))
        assert all(torch.equal(first[name], second[name]) for name in first)
        model = KINDS[kind].build(config, alphabet, 0)
        assert isinstance(model, torch.nn.Module)
        start = dict(model.named_parameters())
        alone, together = (
            torch.cat([(ended[name] - start[name].detach()).flatten().double() for name in start])
            for ended in (one, first)
        )
        agreement = torch.cosine_similarity(alone, together, dim=0).item()
        print(kind, agreement)
        assert agreement > 0.8
        assert alone.norm().item() == pytest.approx(together.norm().item(), rel=0.1)
