"""Laws of edits: nothing depends on cluster numbers, on repetition, or on who came first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from edit_plans import SIZES, anchor, found, log, planned, plans
from hypothesis import given, settings
from hypothesis import strategies as st

from typika.curation.apply import LOOSE, Cluster, Curated, changed_labels, curate
from typika.curation.edits import (
    Anchor,
    Drop,
    Edit,
    Hide,
    Log,
    Merge,
    Rename,
    Split,
    Spot,
    Star,
    Undo,
)
from typika.errors import DataError


def outcome(curated: Curated) -> set[tuple]:
    """What a curated result says, less the numbers of its clusters."""
    spots, labels = curated.found.spot, curated.found.label
    clusters = {
        (one.label, frozenset(spots[n] for n in one.places), one.whole, len(one.sources), one.name,
         one.note, one.starred, one.hidden)
        for one in curated.clusters
    }  # fmt: skip
    return clusters | {(labels[n], spots[n]) for n in np.flatnonzero(curated.dropped)}


def named(curated: Curated, name: str) -> Cluster:
    (one,) = [one for one in curated.clusters if one.name == name]
    return one


@settings(max_examples=50)
@given(plans(), st.randoms(use_true_random=False))
def test_how_clusters_are_numbered_changes_nothing(plan, random):
    made = planned(plan)
    base = found()
    order = {label: random.sample(range(len(own)), len(own)) for label, own in SIZES.items()}
    numbers = [
        LOOSE if number == LOOSE else order[label][number]
        for label, number in zip(base.label, base.cluster, strict=True)
    ]
    again = replace(base, cluster=np.array(numbers))
    assert outcome(curate(again, log(*made))) == outcome(curate(base, log(*made)))


@settings(max_examples=50)
@given(plans())
def test_the_same_edits_twice_are_as_once(plan):
    made = planned(plan)
    once = log(*made)
    assert Log.of((*once, *once)) == once
    result = curate(found(), once)
    # Every patch is in one cluster at most, and none is lost but to its label's loose ones.
    places = np.concatenate([one.places for one in result.clusters])
    assert len(np.unique(places)) == len(places)
    assert set(np.flatnonzero(found().cluster != LOOSE)) <= set(places)
    assert all(len({result.found.label[n] for n in one.places}) == 1 for one in result.clusters)
    keys = [(one.label, one.number) for one in result.clusters]
    assert len(set(keys)) == len(keys)
    assert changed_labels(result, curate(result.found, once)) == frozenset()


@settings(max_examples=50)
@given(plans())
def test_all_undone_is_as_nothing_done(plan):
    made = planned(plan)
    done = log(*[change for change in made if not isinstance(change, Undo)])
    for number, edit in enumerate(tuple(done)):
        done = done.with_edit(Edit(id=f"{900 + number:032x}", at="", change=Undo(edit.id)))
    assert done.standing == ()
    assert outcome(curate(found(), done)) == outcome(curate(found(), Log()))
    for number, edit in enumerate(tuple(done)[len(done) // 2 :]):  # an undo undone
        done = done.with_edit(Edit(id=f"{990 + number:032x}", at="", change=Undo(edit.id)))
    assert len(done.standing) == len(done) // 3


def test_edits_of_different_things_come_in_any_order():
    base = found()
    first = [Rename(anchor(base, "east", 0), "door"), Star(anchor(base, "east", 1))]
    second = [Hide(anchor(base, "west", 1)), Drop(anchor(base, "east", 2))]
    assert outcome(curate(base, log(*first, *second))) == outcome(
        curate(base, log(*second, *first))
    )


def test_the_later_name_wins_and_both_stay_in_the_log():
    base = found()
    both = log(Rename(anchor(base, "east", 0), "a"), Rename(anchor(base, "east", 0), "b"))
    assert len(both) == 2
    assert len(named(curate(base, both), "b").places) == 5


def test_a_merged_cluster_split_again_has_its_patches_and_no_verdict():
    base = found()
    first, second = anchor(base, "east", 0), anchor(base, "east", 2)
    merged = curate(base, log(Rename(second, "lamp"), Merge(first, second)))
    one = named(merged, "lamp")
    assert (len(one.places), one.sources, one.whole, one.number) == (8, (0, 2), False, 2)
    split = curate(base, log(Rename(second, "lamp"), Merge(first, second), Split(first, "door")))
    parts = {name: len(named(split, name).places) for name in ("lamp", "door")}
    assert parts == {"lamp": 3, "door": 5}
    assert named(split, "door").number == 3
    assert not named(split, "lamp").whole


def test_an_edit_of_a_merged_away_cluster_goes_where_its_patches_went():
    base = found()
    small, large = anchor(base, "east", 2), anchor(base, "east", 0)
    result = curate(base, log(Merge(small, large), Rename(small, "lamp")))
    assert len(named(result, "lamp").places) == 8


def test_clusters_made_anew_take_over_what_most_of_their_patches_had():
    base = found()
    edits = log(Rename(anchor(base, "east", 0), "door"), Hide(anchor(base, "west", 1)),
                Rename(anchor(base, "east", 1), "lamp"))  # fmt: skip
    # 3 of 5 patches of the first cluster go to a new one; the second falls in halves.
    cluster = base.cluster.copy()
    cluster[:12] = [7, 7, 7, 1, 1, 0, 0, 2, 2, 3, 3, 3]
    result = curate(replace(base, cluster=cluster), edits)
    assert named(result, "door").number == 7
    assert [edit.change for edit in result.unplaced] == [Rename(anchor(base, "east", 1), "lamp")]
    assert [one.hidden for one in result.clusters if one.label == "west"] == [False, True]


def test_patches_that_are_gone_place_nothing_and_lose_nothing():
    base = found()
    gone = Anchor("east", (Spot("elsewhere", (0, 0, 1, 1)),))
    edits = log(Rename(gone, "x"), Drop(gone), Split(gone), Merge(gone, anchor(base, "east", 0)))
    result = curate(base, edits)
    assert result.unplaced == edits.edits
    assert outcome(result) == outcome(curate(base, Log()))


def test_what_no_edit_may_be():
    base = found()
    east, west = anchor(base, "east", 0), anchor(base, "west", 0)
    with pytest.raises(DataError, match="two labels"):
        Merge(east, west)
    with pytest.raises(DataError, match="at most 200"):
        Rename(east, "x" * 201)
    for name in ("a\nb", "a\x00", "\ud800", "\x1b[2J", "a\u2028"):
        with pytest.raises(DataError, match="control character"):
            Rename(east, name)
    with pytest.raises(DataError, match="of no patch"):
        base.anchor([])
    with pytest.raises(DataError, match="no edit"):
        log(Undo("f" * 32))
    with pytest.raises(DataError, match="32 hexadecimal"):
        Edit(id="../x", at="", change=Star(east))
