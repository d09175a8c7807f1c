"""The model card and the data statement: facts of the run, whatever its labels say."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import typika
from pictures import draw_photo
from typika import config, typewriter
from typika.collection.rendered_lines import render_lines, write_lines
from typika.report.card_records import changed_settings, licence_columns
from typika.report.markdown import LONGEST, Document, Section, escaped, markdown
from typika.workflow import MineConfig

SMALL = {
    "model": {"sides": [64], "dimensions": 16, "width": 16, "blocks": 1, "epochs": 2.0,
              "least_steps": 8},
    "rival": {"width": 16, "epochs": 2.0, "least_steps": 8},
    "select": {"at_least": 8, "controls": 4, "patch_size": 0.3},
    "artefacts": {"images": 0, "clusters": 1},
    "significance": {"permutations": 99},
    "report": {"sheets": False},
}  # fmt: skip
HOSTILE = "<img src=x onerror=alert(1)> **bold** [a](javascript:x) | `code` # @all\n- item\u202e"


def shown(text: str) -> str:
    """The letters that a reader of the rendered Markdown sees, and nothing that is no text."""
    seen = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        for part in token.children or ():
            assert part.type in ("text", "text_special", "softbreak"), part
            seen.append(part.content)
    return "".join(seen)


@given(st.text(max_size=400))
def test_no_text_is_markup(text: str) -> None:
    line = escaped(text)
    assert "\n" not in line
    assert "<" not in line
    assert ">" not in line
    plain = " ".join(text.split())
    tokens = MarkdownIt("commonmark").parse(f"x {line}")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    if plain.isprintable() and len(plain) <= LONGEST:
        assert shown(f"x {line}").rstrip() == f"x {plain}".rstrip()


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_a_table_keeps_its_columns_and_points_stay_points(one: str, other: str) -> None:
    table = (("label", "count"), (one, other))
    text = markdown(Document(title="t", opening="o", sections=(
        Section(title="s", points=(one, other), table=table),)))  # fmt: skip
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    counted = [token.type for token in tokens]
    assert counted.count("td_open") == 2
    assert counted.count("list_item_open") == 2
    assert counted.count("heading_open") == 2


def test_long_texts_are_cut() -> None:
    assert escaped("0.75") == "0.75"  # opens no list, as 1. does
    assert escaped("1. one") == "1\\. one"
    assert len(escaped("a" * 10_000)) == LONGEST
    assert "http:" not in escaped("see http://x.org")
    assert "www." not in escaped("WWW.x.org www.x.org")


def test_settings_are_told_where_they_were_changed() -> None:
    before = {"a": 1, "b": {"c": [1], "d": "x"}}
    assert changed_settings({"a": 1, "b": {"c": [1, 2], "d": "x"}}, before) == {"b.c": "[1, 2]"}


def test_licences_are_counted_by_value() -> None:
    table = pa.table({"licence": ["b", None, "b"], "Rights holder": ["x"] * 3, "year": [1, 2, 3]})
    found = licence_columns(table)
    assert [column.name for column in found] == ["licence", "Rights holder"]
    assert found[0].counts == {"b": 2, "": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labels, one of them hostile; twelve images each, with licences."""
    root = tmp_path_factory.mktemp("cards")
    rows = ["file_name,label,licence,photographer"]
    for label, name in enumerate((HOSTILE.replace("\n", " "), "plain")):
        for number in range(12):
            draw_photo(root / "photos" / f"{label}-{number}.jpg", label, number)
            rows.append(f'{label}-{number}.jpg,"{name}",CC BY 4.0,somebody')
    (root / "photos" / "broken.jpg").write_bytes(b"no picture")
    rows.append("broken.jpg,plain,,")
    (root / "photos" / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    made = config.build(MineConfig, SMALL)
    return typika.mine(root / "photos", root / "run", config=made, workers=1).folder


def test_the_model_card_says_what_the_run_did(run: Path) -> None:
    text = (run / "MODEL_CARD.md").read_text(encoding="utf-8")
    seen = shown(text)
    assert "Fitted to 20 images; 4 were scored that it never saw." in seen
    assert "model.sides[64]" in seen
    assert "Surveillance" in seen
    assert "military" in seen
    assert "Energy was not measured." in seen
    assert "Fewer than 30 images of" in seen
    assert "<img src=x onerror=alert(1)> **bold** [a](javascript:x) | `code`" in seen


def test_the_data_statement_counts_what_there_is(run: Path) -> None:
    seen = shown((run / "DATA_STATEMENT.md").read_text(encoding="utf-8"))
    assert "24 images under 2 labels" in seen
    assert "plain1212102" in seen  # images, groups, fitted to, never seen
    assert "Column licence, images by value: CC BY 4.0: 24." in seen
    assert "Further columns of the table: licence, photographer." in seen
    assert "No file was left out" not in seen


def test_the_report_stage_writes_them_again_where_they_are_lost(run: Path) -> None:
    before = (run / "DATA_STATEMENT.md").read_bytes()
    (run / "DATA_STATEMENT.md").unlink()
    typika.mine(run.parent / "photos", run, config=config.build(MineConfig, SMALL), workers=1)
    assert (run / "DATA_STATEMENT.md").read_bytes() == before


def test_a_typewriter_has_them_too(tmp_path: Path) -> None:
    write_lines(tmp_path / "lines", render_lines(6, seed=0, split="train", height=32))
    short = {"model": {"height": 32}, "training": {"steps": 2, "batch": 2, "checks": 1}}
    run = typewriter.fit(tmp_path / "lines", tmp_path / "run", config=typewriter.configure(short))
    card = shown((run.folder / "MODEL_CARD.md").read_text(encoding="utf-8"))
    assert "Learning: 2 steps of 2 lines." in card
    assert "training.steps2" in card
    assert "learned from fewer than 5 instances" in card
    assert "Surveillance" in card
    statement = shown((run.folder / "DATA_STATEMENT.md").read_text(encoding="utf-8"))
    assert "6 lines of text" in statement
    assert "No column says under what terms the lines are." in statement
