"""A page record (`Page`, `ComparisonPage`, ...) -> one self-contained HTML file.

Nothing that a user names may become markup or script. Three walls: jinja2 escapes every value in
the template; the data lie in JSON blocks in which `<`, `>`, `&` and the two line separators are
escaped, and the script shows them through `textContent` alone; and the page's own security policy
allows no script but ours (by its hash), no request at all, and pictures only from `data:`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from typika import console
from typika.files import whole_file
from typika.report.along_records import AlongPage
from typika.report.atlas_records import AtlasPage
from typika.report.bias_records import BiasPage
from typika.report.comparison_records import ComparisonPage
from typika.report.contrast_records import ContrastPage
from typika.report.cotypicality_records import CotypicalPage
from typika.report.localisation_records import EvaluationPage
from typika.report.methods_records import MethodsPage
from typika.report.records import ImageRecord, LabelRecord, Page, PatchRecord
from typika.report.trends_records import TrendsPage
from typika.report.typewriter_records import TypewriterPage

TEMPLATES = resources.files("typika.report") / "templates"
REPORT_STYLES, LIVE_STYLES = ("report.css",), ("report.css", "curate.css")
REPORT_SCRIPTS = ("theme.js", "report.js")
LIVE_SCRIPTS = ("theme.js", "curate.js", "report.js")
ATLAS_SCRIPTS = ("theme.js", "atlas.js", "atlas_matrix.js", "atlas_pair.js", "atlas_graphs.js",
                 "atlas_comparison.js")  # fmt: skip
JSON_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def write_report(page: Page, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    _write(render(page), path)


def write_comparison(page: ComparisonPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    _write(render_comparison(page), path)


def write_evaluation(page: EvaluationPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    _write(render_evaluation(page), path)


def _write(text: str, path: Path) -> None:
    # A file name that is not valid Unicode cannot be shown as it is; it is shown with marks.
    content = text.encode("utf-8", errors="replace")
    with whole_file(Path(path)) as temporary:
        temporary.write_bytes(content)


def render(page: Page) -> str:
    """The whole HTML text of a report."""
    return _rendered("report.html", REPORT_STYLES, REPORT_SCRIPTS, **_report(page), live=None)


def render_live(page: Page, base: str) -> str:
    """The same report as `typika view` serves it: its clusters can be changed.

    base: what the server knows these patches by, as long as it serves them.
    """
    rows = [patch.row for patch in page.patches]
    live = {"base": base, "rows": rows, "dotRows": page.dot_rows}
    return _rendered(
        "report.html", LIVE_STYLES, LIVE_SCRIPTS,
        **_report(page), live=safe_json(live), policy=live_policy(),
    )  # fmt: skip


def _report(page: Page) -> dict[str, Any]:
    """What the template of a report shows."""
    return {
        "page": page,
        "about": page.facts,
        "lead": page.summary,
        "notes": page.facts.warnings,
        "facts": page.facts,
        "data": safe_json(_page_data(page)),
        "images": safe_json([_image_data(image) for image in page.images]),
    }


def live_policy() -> str:
    """The security policy of a live report: it may ask its own server, and nobody else."""
    return _policy(_joined(LIVE_STYLES), _joined(LIVE_SCRIPTS)) + "; connect-src 'self'"


def render_comparison(page: ComparisonPage) -> str:
    """The whole HTML text of a comparison, which needs no script."""
    return _without_script(page, "compare.html", "compare.css")


def write_methods(page: MethodsPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    _write(render_methods(page), path)


def render_methods(page: MethodsPage) -> str:
    """The whole HTML text of a comparison of methods, which needs no script."""
    return _without_script(page, "methods.html", "compare.css", "methods.css")


def write_cotypical(page: CotypicalPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    _write(render_cotypical(page), path)


def render_cotypical(page: CotypicalPage) -> str:
    """The whole HTML text of a page of sequences, which needs no script."""
    return _without_script(page, "cotypical.html", "compare.css", "cotypical.css")


def write_along(page: AlongPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    _write(render_along(page), path)


def render_along(page: AlongPage) -> str:
    """The whole HTML text of the elements along a condition, which needs no script."""
    return _without_script(page, "along.html", "compare.css", "along.css")


def render_evaluation(page: EvaluationPage) -> str:
    """The whole HTML text of an evaluation, which needs no script."""
    return _without_script(page, "evaluation.html", "compare.css", "evaluation.css")


def write_contrast(page: ContrastPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    _write(render_contrast(page), path)


def render_contrast(page: ContrastPage) -> str:
    """The whole HTML text of contrasts, which needs no script."""
    return _without_script(page, "contrast.html", "compare.css", "evaluation.css", "contrast.css")


def write_trends(page: TrendsPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    _write(render_trends(page), path)


def render_trends(page: TrendsPage) -> str:
    """The whole HTML text of trends, which needs no script."""
    return _without_script(page, "trends.html", "compare.css", "trends.css")


def write_bias(page: BiasPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    _write(render_bias(page), path)


def render_bias(page: BiasPage) -> str:
    """The whole HTML text of generated against real images, which needs no script."""
    return _without_script(page, "bias.html", "compare.css", "bias.css")


def write_typewriter(page: TypewriterPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    _write(render_typewriter(page), path)


def render_typewriter(page: TypewriterPage) -> str:
    """The whole HTML text of a typewriter; its script only orders and moves the focus."""
    styles = ("report.css", "compare.css", "typewriter.css")
    return _rendered("typewriter.html", styles, ("typewriter.js",), **_frame(page))


def write_atlas(page: AtlasPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    _write(render_atlas(page), path)


def render_atlas(page: AtlasPage) -> str:
    """The whole HTML text of an atlas of prototypes."""
    return _rendered(
        "atlas.html",
        ("report.css", "compare.css", "atlas.css"),
        ATLAS_SCRIPTS,
        **_frame(page),
        data=safe_json(plain(replace(page, pictures=(), facts={}))),
        pictures=safe_json(page.pictures),
    )


def _without_script(page: Any, name: str, *styles: str) -> str:
    """The HTML text of a page that needs no script; `styles` come after those of the report."""
    return _rendered(name, ("report.css", *styles), **_frame(page))


def _frame(page: Any) -> dict[str, Any]:
    """What the frame of a page shows, where the page itself holds it."""
    return {"page": page, "about": page, "lead": page.lead, "notes": page.notes}


def _rendered(name: str, styles: Sequence[str], scripts: Sequence[str] = (), **values: Any) -> str:
    """A template with its styles and scripts in it, and the policy that allows just these."""
    style, script = _joined(styles), _joined(scripts)
    values = {"policy": _policy(style, script), **values, "style": Markup(style)}
    if script:
        values["script"] = Markup(script)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = console.duration
    return environment.get_template(name).render(values).lstrip()


def _joined(names: Sequence[str]) -> str:
    return "".join(map(_text, names))


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _policy(style: str, script: str = "") -> str:
    """Content-Security-Policy: our style and script by hash, embedded pictures, nothing else."""
    scripts = f"script-src {_hash(script)}; " if script else ""
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"{scripts}base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def safe_json(value: Any) -> Markup:
    """JSON that cannot end its script element, open a comment, or be anything but JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(JSON_ESCAPES))


def plain(value: Any) -> Any:
    """Records as what JSON knows, by the names of their fields."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


# --------------------------------------------------- records -> the plain values the script reads


def _page_data(page: Page) -> dict[str, Any]:
    return {
        "title": page.facts.title,
        "score": page.facts.score,
        "maps": page.facts.map_names,
        "labels": [label_data(label) for label in page.labels],
        "patches": [patch_data(patch) for patch in page.patches],
        "metadataColumns": page.metadata_columns,
        "metadata": page.metadata,
        "dots": page.dots,
        "axis": page.axis,
        "decimals": page.decimals,
        "limits": page.limits,
    }


def label_data(label: LabelRecord) -> dict[str, Any]:
    """One label, its clusters in their order."""
    clusters = [
        {
            "cluster": cluster.cluster,
            "rank": cluster.rank,
            "size": cluster.size,
            "images": cluster.n_images,
            "typicality": cluster.typicality,
            "low": cluster.low,
            "stability": cluster.stability,
            "high": cluster.high,
            "members": cluster.members,
            "verdict": cluster.verdict
            and [cluster.verdict.verdict, cluster.verdict.figure, cluster.verdict.text],
            "badges": [[badge.badge, badge.text] for badge in cluster.badges],
            "name": cluster.name,
            "note": cluster.note,
            "starred": cluster.starred,
            "hidden": cluster.hidden,
            "changed": cluster.changed,
        }
        for cluster in label.clusters
    ]
    return {
        "name": label.label,
        "images": label.n_images,
        "patches": label.n_patches,
        "loose": label.n_loose,
        "allClusters": label.n_clusters,
        "clusters": clusters,
        "random": label.random,
        "negative": label.negative,
        "randomMedian": label.random_median,
        "verdict": label.verdict,
    }


def patch_data(patch: PatchRecord) -> tuple:
    """One patch as a row; `PATCH_FIELDS` in report.js names its places."""
    return (
        patch.picture,
        patch.image,
        patch.file_name,
        patch.label,
        patch.selection,
        patch.cluster,
        patch.rank,
        patch.box,
        patch.typicality,
        patch.error,
        patch.typicality_null,
        patch.evidence,
        patch.distance,
        patch.position,
        patch.metadata,
    )


def _image_data(image: ImageRecord) -> dict[str, Any]:
    maps: Mapping[str, Any] = {
        str(label): {"h": m.height, "w": m.width, "scales": m.scales, "cells": m.cells}
        for label, m in image.maps.items()
    }
    return {"jpeg": image.jpeg, "w": image.width, "h": image.height, "maps": maps}
