from __future__ import annotations

import html.parser
import json
import re
import subprocess
import sys

import pytest

from typika.report.build import build_page
from typika.report.html import render, safe_json, write_report

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "../x",
    "</script><!--",
    "{{ 7 * 7 }}",
    "line\u2028and\u2029break & ampersand",
    "🍎 عربى",
    "x" * 10_000,
)


class Elements(html.parser.HTMLParser):
    """All tags with their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.lasttag == "script" and self.scripts:
            self.scripts[-1] += data


def skeleton(text: str) -> list[str]:
    """The tags of the page, rows of tables and facts aside."""
    return [tag for tag, _ in Elements(text).tags]


def test_hostile_names_never_become_markup(make_inputs):
    def page(labels, word):
        metadata = {word: word}
        return render(
            build_page(make_inputs(labels=labels, sizes=(6,), metadata=metadata, title=word))
        )

    plain = page([f"label {n}" for n in range(len(HOSTILE))], "word")
    for word in HOSTILE:
        hostile = page(HOSTILE, word)
        assert skeleton(hostile) == skeleton(plain)
        names = {name for _, attributes in Elements(hostile).tags for name in attributes}
        assert not {name for name in names if name.startswith("on")}
        data = json.loads(Elements(hostile).scripts[0])
        assert [label["name"] for label in data["labels"]] == list(HOSTILE)


def test_every_fact_is_escaped(make_inputs):
    evil = "<b onclick=alert(1)>"
    facts = dict.fromkeys(("model", "loss", "device", "date", "command", "version"), evil)
    text = render(
        build_page(
            make_inputs(**facts, prompts={evil: evil}, skipped={evil: 1}, warnings=(evil, evil))
        )
    )
    assert "<b " not in text
    assert text.count("&lt;b onclick") >= 9


@pytest.mark.parametrize("value", ["</script>", "<!--", "]]>", "&lt;", "\u2028\u2029", "é🍎\x00"])
def test_safe_json_is_json_without_dangerous_characters(value):
    text = safe_json({value: [value]})
    assert json.loads(text) == {value: [value]}
    assert not set(text) & set("<>&\u2028\u2029")


def test_the_page_is_self_contained(make_inputs):
    text = render(build_page(make_inputs()))
    elements = Elements(text)
    assert not {"link", "iframe", "object", "base"} & {
        t for t, a in elements.tags if a.get("rel") != "icon"
    }
    for _, attributes in elements.tags:
        for name in ("src", "href"):
            assert not re.match(r"[a-z]+:(?!,)|//", attributes.get(name) or "#")
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    script = elements.scripts[-1]
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "fetch(",
    ):
        assert word not in script


def test_the_policy_allows_our_script_by_its_hash_alone(make_inputs):
    text = render(build_page(make_inputs()))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text).group(1)
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe" not in policy


def test_same_inputs_same_bytes(make_inputs, tmp_path):
    for name in ("a.html", "b.html"):
        write_report(build_page(make_inputs()), tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_a_failed_write_leaves_the_old_report(make_inputs, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    page = build_page(make_inputs(labels=("a",)))
    monkeypatch.setattr("typika.report.html.render", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(page, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_lone_surrogates_of_odd_file_names_do_not_stop_the_report(make_inputs, tmp_path):
    write_report(build_page(make_inputs(title="bad \udcff name")), tmp_path / "r.html")
    assert "bad ? name" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_importing_the_builder_is_light():
    code = (
        "import sys, typika.report.build, typika.report.html, typika.report.figures;"
        "heavy = {'matplotlib', 'torch', 'pandas', 'sklearn', 'scipy'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
