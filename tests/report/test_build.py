from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from typika.errors import ConfigError, DataError
from typika.report import budget
from typika.report.build import build_page
from typika.report.html import render
from typika.report.pictures import coarsen, jpeg_base64, map_record, quantise, shrink
from typika.report.records import HeatMaps, ReportInputs


def replace(inputs: ReportInputs, **changes):
    return dataclasses.replace(inputs, **changes)


def test_clusters_come_by_rank_and_members_by_distance(make_inputs):
    inputs = make_inputs()
    order = np.random.default_rng(0).permutation(inputs.patches.num_rows)
    clusters = inputs.clusters.take(pa.array([5, 0, 7, 3, 8, 1, 4, 2, 6]))
    page = build_page(replace(inputs, patches=inputs.patches.take(order), clusters=clusters))
    assert [label.label for label in page.labels] == ["amber", "blue", "coral"]
    for label in page.labels:
        assert [c.rank for c in label.clusters] == [1, 2, 3]
        for cluster in label.clusters:
            members = [page.patches[i] for i in cluster.members]
            distances = [m.distance for m in members]
            assert distances == sorted(distances)
            assert len(members) == cluster.size
            assert {(m.label, m.cluster) for m in members} == {
                (page.labels.index(label), cluster.cluster)
            }


def test_controls_come_by_rank_and_carry_their_median(make_inputs):
    inputs = make_inputs()
    page = build_page(inputs)
    for label in page.labels:
        for kind in ("random", "negative"):
            members = [page.patches[i] for i in getattr(label, kind)]
            assert [m.selection for m in members] == [kind] * 6
            assert [m.rank for m in members] == sorted(m.rank for m in members)
        chosen = pc.and_(
            pc.equal(inputs.patches["label"], label.label),
            pc.equal(inputs.patches["selection"], "random"),
        )
        scores = inputs.patches.filter(chosen)["typicality"].to_numpy()
        assert label.random_median == pytest.approx(np.median(scores), rel=1e-5)


def test_every_image_is_embedded_once_with_its_original_size(make_inputs):
    inputs = make_inputs()
    page = build_page(inputs)
    assert len(page.images) == len(set(inputs.patches["image_id"].to_pylist()))
    assert {(image.width, image.height) for image in page.images} == {(120, 80)}
    assert all(patch.image is not None for patch in page.patches)


def test_thumbnails_are_passed_on_untouched(make_inputs):
    inputs = make_inputs(labels=("a",))
    given_ = {row["bytes"] for row in inputs.patches["thumbnail"].to_pylist()}
    assert {base64.b64decode(p.picture) for p in build_page(inputs).patches} == given_


def test_large_images_are_reduced_and_small_ones_never_enlarged():
    def size(image):
        encoded = base64.b64decode(jpeg_base64(image, side=480, quality=50))
        return Image.open(io.BytesIO(encoded)).size

    assert size(Image.new("RGB", (4000, 1000))) == (480, 120)
    assert size(Image.new("RGB", (20_000, 50))) == (480, 1)
    assert size(Image.new("RGB", (1, 1))) == (1, 1)
    assert shrink(Image.new("L", (10, 10)), 480).mode == "RGB"


def test_metadata_become_words(make_inputs):
    metadata = {"note": "y" * 1000, "half": 0.5, "flag": True}
    page = build_page(make_inputs(labels=("a",), metadata=metadata))
    assert page.metadata_columns == ("note", "half", "flag")
    assert set(page.metadata) == {("y" * 299 + "…", "0.5", "True"), ("", "", "")}


@pytest.mark.parametrize("megabytes", [0.25, 0.5, 1, 2])
def test_the_file_keeps_to_its_budget_and_says_what_it_left_out(make_inputs, megabytes):
    inputs = make_inputs(sizes=(120, 80, 60))
    whole = build_page(inputs)
    page = build_page(inputs, max_megabytes=megabytes)
    assert len(render(page).encode()) <= megabytes * 1e6
    assert all(label.clusters for label in page.labels)
    if len(page.patches) < inputs.patches.num_rows:
        assert "patches.parquet" in " ".join(page.left_out)
        assert page.dots
    assert len(page.patches) <= len(whole.patches)


def test_with_many_labels_the_most_important_patches_keep_their_whole_image(make_inputs):
    inputs = make_inputs(labels=[f"label {n}" for n in range(150)], sizes=(6, 6))
    page = build_page(inputs, max_megabytes=1.2)
    assert len(render(page).encode()) <= 1.2e6
    assert "had no room" in " ".join(page.left_out)
    clusters = [cluster.members for label in page.labels for cluster in label.clusters]
    whole = [[page.patches[member].image is not None for member in row] for row in clusters]
    assert sum(row[0] for row in whole) > sum(row[-1] for row in whole) > 0


def test_what_fits_is_all_there(make_inputs):
    inputs = make_inputs()
    page = build_page(inputs)
    assert len(page.patches) == inputs.patches.num_rows
    assert "patches.parquet" not in " ".join(page.left_out)
    assert page.dots == ()


def loosened(inputs: ReportInputs) -> ReportInputs:
    """The same run with the last cluster of its first label come apart."""
    patches, clusters = inputs.patches.to_pylist(), inputs.clusters.to_pylist()
    label, last = clusters[0]["label"], 2
    for row in patches:
        if (row["label"], row["cluster"]) == (label, last):
            row["cluster"] = -1
    kept = [row for row in clusters if (row["label"], row["cluster"]) != (label, last)]
    return replace(
        inputs, patches=pa.Table.from_pylist(patches), clusters=pa.Table.from_pylist(kept)
    )


def test_patches_in_no_cluster_are_counted_and_are_dots(make_inputs):
    page = build_page(loosened(make_inputs(sizes=(12, 20, 9))))
    first, second, _ = page.labels
    assert (first.n_patches, first.n_loose, first.n_clusters) == (41, 9, 2)
    assert (second.n_patches, second.n_loose, second.n_clusters) == (41, 0, 3)
    assert len(page.dots) == 9
    said = " ".join(page.left_out)
    assert "9 of 123 typical patches are in no cluster" in said
    assert "to stay under" not in said
    assert '"loose":9' in render(page).replace(" ", "")


def test_patches_in_no_cluster_are_not_blamed_on_the_budget(make_inputs):
    page = build_page(loosened(make_inputs(sizes=(120, 80, 60))), max_megabytes=0.4)
    said = " ".join(page.left_out)
    assert "60 of 780 typical patches are in no cluster" in said
    assert "of 720 typical patches of clusters" in said


def test_a_budget_must_be_positive(make_inputs):
    with pytest.raises(ConfigError, match="max_megabytes=0"):
        build_page(make_inputs(), max_megabytes=0)


def test_every_rung_of_the_ladder_costs_less_than_the_one_before():
    for more, less in zip(budget.LADDER, budget.LADDER[1:], strict=False):
        assert dataclasses.astuple(more) != dataclasses.astuple(less)
        pairs = zip(dataclasses.astuple(more), dataclasses.astuple(less), strict=True)
        assert all(a >= b for a, b in pairs)


def test_first_members_are_more_important_than_second_ones():
    shelves = [
        budget.Shelf(clusters=((0, 1), (2,)), random=(3,), negative=()),
        budget.Shelf(clusters=((4, 5, 6),), random=(7, 8), negative=(9,)),
    ]
    assert list(budget.by_importance(shelves)) == [0, 2, 4, 1, 5, 6, 3, 7, 9, 8]


def test_an_image_that_cannot_be_read_any_more_is_counted(make_inputs):
    def gone(image_id):
        raise FileNotFoundError(image_id)

    page = build_page(replace(make_inputs(labels=("a",)), images=gone))
    assert page.images == ()
    assert "could not be read" in " ".join(page.left_out)
    assert "<html" in render(page)


def test_numbers_that_are_not_finite_are_left_open(make_inputs):
    inputs = make_inputs(labels=("a",))
    nowhere = pa.array([float("nan")] * inputs.patches.num_rows)
    patches = inputs.patches
    for name in ("error", "map_x", "typicality_null"):
        patches = patches.set_column(patches.column_names.index(name), name, nowhere)
    page = build_page(replace(inputs, patches=patches, maps={}))
    assert page.patches[0].error is page.patches[0].position is None
    assert "<html" in render(page)  # whose JSON refuses NaN


def test_a_label_without_patches_and_a_run_without_any(make_inputs):
    inputs = make_inputs(labels=("a", "b"))
    only_a = pc.equal(inputs.patches["label"], "a")
    kept = inputs.clusters.filter(pc.equal(inputs.clusters["label"], "a"))
    page = build_page(replace(inputs, patches=inputs.patches.filter(only_a), clusters=kept))
    assert [len(label.clusters) for label in page.labels] == [3, 0]
    empty = build_page(
        replace(inputs, patches=inputs.patches.slice(0, 0), clusters=inputs.clusters.slice(0, 0))
    )
    assert "<html" in render(empty)


def test_missing_columns_and_odd_selections_are_refused(make_inputs):
    inputs = make_inputs(labels=("a",))
    with pytest.raises(DataError, match="no column evidence"):
        replace(inputs, patches=inputs.patches.drop_columns(["evidence"]))
    odd = pa.array(["best"] * inputs.patches.num_rows)
    with pytest.raises(DataError, match="got best"):
        replace(inputs, patches=inputs.patches.set_column(3, "selection", odd))
    with pytest.raises(DataError, match="one shape"):
        HeatMaps(contrast=np.zeros((2, 2)), null=np.zeros((2, 3)), evidence=np.zeros((2, 2)))


def test_inputs_are_not_changed_and_give_the_same_page_twice(make_inputs):
    inputs = make_inputs()
    before = inputs.patches.to_pylist()
    assert build_page(inputs) == build_page(inputs)
    assert inputs.patches.to_pylist() == before


def test_the_order_of_rows_changes_nothing_that_is_shown(make_inputs):
    inputs = make_inputs(labels=("a",))
    order = np.random.default_rng(1).permutation(inputs.patches.num_rows)
    shuffled = replace(inputs, patches=inputs.patches.take(order))
    assert render(build_page(inputs)) == render(build_page(shuffled))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_coarsening_keeps_the_mean(height, width, grid):
    values = np.random.default_rng(height * 10 + width).normal(size=(height, width))
    coarse = coarsen(values.astype(np.float32), grid)
    assert coarse.shape == (min(height, grid), min(width, grid))
    assert coarse.mean() == pytest.approx(values.mean(), abs=1e-5)


def test_quantised_maps_are_right_to_half_a_step():
    values = np.random.default_rng(0).normal(size=(9, 7)).astype(np.float32)
    maps = HeatMaps(contrast=values, null=values * 0, evidence=values * np.nan)
    record = map_record(maps, grid=16)
    assert (record.height, record.width) == (9, 7)
    steps = np.frombuffer(base64.b64decode(record.cells[0]), np.uint8).reshape(9, 7)
    back = record.scales[0] * (steps.astype(float) - 128) / 127
    assert np.abs(back - values).max() <= record.scales[0] / 127 / 2 * 1.001
    assert set(base64.b64decode(record.cells[1])) == {128}
    assert set(base64.b64decode(record.cells[2])) == {128}
    assert quantise(np.array([[1e9, -1e9]]), 1.0) == bytes([255, 1])


def test_maps_that_a_run_lacks_stay_absent(make_inputs):
    inputs = make_inputs(labels=("a",))
    only = {key: HeatMaps(null=maps.null) for key, maps in inputs.maps.items()}
    page = build_page(replace(inputs, maps=only))
    record = next(entry for image in page.images for entry in image.maps.values())
    full = next(e for image in build_page(inputs).images for e in image.maps.values())
    assert [cells is None for cells in record.cells] == [True, False, True]
    assert (record.cells[1], record.scales[1]) == (full.cells[1], full.scales[1])
    assert (record.height, record.width) == (full.height, full.width)
    assert [limit is None for limit in page.limits] == [True, False, True]
    assert "The rival" in render(build_page(inputs))
    assert "The rival" not in render(page)
