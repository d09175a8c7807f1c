"""A typewriter run -> a frozen `TypewriterPage`: choice, pictures, wording.

What was learned and where it stands was decided in `typewriter/`; here sprites become cards, lines
become pictures with boxes over them, and readings become tables.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from typika.report.budget import FRAME_BYTES, MEGABYTE
from typika.report.build import RESERVE
from typika.report.typewriter_curves import checks, curves
from typika.report.typewriter_pictures import (
    GAP,
    instance_jpeg,
    line_jpeg,
    outline,
    sprite_png,
)
from typika.report.typewriter_records import (
    LEARNED,
    TESTED,
    UNFIT,
    UNTRANSCRIBED,
    VALIDATED,
    CharacterBox,
    ConfusionRow,
    CutInstance,
    DrawnLine,
    ErrorRow,
    InstancePicture,
    LearnedSprite,
    LineCard,
    SpriteCard,
    TextPiece,
    TypewriterInputs,
    TypewriterPage,
)
from typika.text_evaluation import align_texts, confusions, error_rate

N_WORST, N_MISREAD, N_BEST = 60, 20, 20  # lines on a page, beside those that letters are from
MOST_LINES = 240
MOST_CONFUSIONS = 40
RARE = 5  # times that a letter must have been learned from
INSTANCE_SHARE = 0.4  # of the budget, at most
CARD_BYTES, INSTANCE_BYTES, BOX_BYTES, LINE_BYTES = 900, 260, 190, 1500  # beside the pictures
MEANINGS = {
    TESTED: "Set apart by the collection: nothing was learned or chosen by them.",
    VALIDATED: "Kept from learning, but the weights are those that read them best: for other "
    "lines a little too good.",
    LEARNED: "Learned with their transcriptions: how well these lines are fitted, not how well "
    "others are read.",
    UNFIT: "Transcriptions that are longer than their lines have cells; not learned from.",
}


def build_typewriter(inputs: TypewriterInputs, *, max_megabytes: float = 25) -> TypewriterPage:
    """Decide what the page shows, and word it."""
    budget = round(max_megabytes * MEGABYTE * RESERVE) - FRAME_BYTES
    pictures = {number: sprite_png(one.ink) for number, one in enumerate(inputs.sprites)}
    budget -= sum(len(png) + CARD_BYTES for png in pictures.values())
    instances = _instances(inputs.sprites, round(budget * INSTANCE_SHARE))
    budget -= sum(len(jpeg) + INSTANCE_BYTES for jpeg in instances.values())
    lines = _fitting(inputs, budget)
    numbers = {line.line_id: n for n, (line, _) in enumerate(lines, start=1)}
    ranked = _confusions(inputs)
    return TypewriterPage(
        title=inputs.name,
        lead=tuple(_lead(inputs)),
        notes=tuple(_notes(inputs)),
        sprites=tuple(_sprite_cards(inputs, pictures, instances, numbers)),
        lines=tuple(_line_cards(inputs, lines)),
        shown=_shown(inputs, len(lines)),
        errors=tuple(_errors(inputs)),
        confusions=tuple(ranked[:MOST_CONFUSIONS]),
        confused=_confused(len(ranked)),
        curves=tuple(curves(inputs.metrics)),
        checks=tuple(checks(inputs.metrics)),
        facts=inputs.facts,
        settings=inputs.settings,
        left_out=tuple(_left_out(inputs, len(instances), len(lines), max_megabytes)),
        version=inputs.version,
        date=inputs.date,
        atlas=inputs.atlas,
    )


def choose_lines(readings: pa.Table, of_letters: Sequence[str]) -> dict[str, str]:
    """Which lines to show and why: by turns the worst drawn, the most misread, the best drawn.

    of_letters: lines that instances of letters are from, most wanted first; they come last.
    """
    rows = readings.to_pylist()
    by_residual = sorted(rows, key=lambda row: (-row["residual"], row["line_id"]))
    misread = sorted(
        (row for row in rows if row["character_error"]),
        key=lambda row: (-row["character_error"], row["line_id"]),
    )
    reasons = [
        [(row["line_id"], "among the worst drawn") for row in by_residual[:N_WORST]],
        [(row["line_id"], "among the most misread") for row in misread[:N_MISREAD]],
        [(row["line_id"], "among the best drawn") for row in by_residual[::-1][:N_BEST]],
    ]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*reasons))
    chosen: dict[str, str] = {}
    for line_id, why in filter(None, turns):
        chosen.setdefault(line_id, why)
    for line_id in of_letters:
        chosen.setdefault(line_id, "a letter above is from it")
    return dict(itertools.islice(chosen.items(), MOST_LINES))


# --------------------------------------------------------------------------------------- words


def _lead(inputs: TypewriterInputs) -> Iterator[str]:
    parts = Counter(inputs.parts.values())
    learned, without = parts[LEARNED], parts[UNTRANSCRIBED]
    sources = [f"{learned:,} transcribed lines"] if learned else []
    sources += [f"{without:,} without transcription"] if without else []
    drawn = len([one for one in inputs.sprites if one.count])
    yield (
        f"{drawn:,} letter forms, learned from {' and '.join(sources) or 'no line'}; "
        "every line is drawn again with nothing but these."
    )
    for part, words in ((TESTED, "test lines"), (VALIDATED, "lines held out")):
        rate = _rate(inputs, part)
        if rate is not None:
            yield f"Of the characters on {parts[part]:,} {words}, {_percent(rate)} are misread."
            return
    if learned:
        yield "No line was held out, so nothing tells how well other lines would be read."


def _rate(inputs: TypewriterInputs, part: str) -> float | None:
    rows = [row for row in _transcribed(inputs) if inputs.parts.get(row["line_id"]) == part]
    if not rows:
        return None
    return error_rate([row["text"] for row in rows], [row["read"] for row in rows]).micro


def _transcribed(inputs: TypewriterInputs) -> list[dict]:
    return [row for row in inputs.readings.to_pylist() if row["text"]]


def _notes(inputs: TypewriterInputs) -> Iterator[str]:
    if inputs.metrics and not any("residual" in row for row in inputs.metrics):
        yield (
            "Learning ended before the model read well enough to be taught to draw, so the "
            "sprites are what they began as. Let it learn for more steps."
        )
    yield from inputs.notes
    rare = [one.character for one in inputs.sprites if one.learned < RARE]
    if rare:
        names = " ".join(spelled(one) for one in rare[:30])
        yield (
            f"{len(rare):,} of {len(inputs.sprites):,} letter forms were seen fewer than {RARE} "
            f"times and are not to be relied upon: {names}{' …' if len(rare) > 30 else ''}"
        )


def _shown(inputs: TypewriterInputs, n_shown: int) -> str:
    total = len(inputs.readings)
    if n_shown == total:
        return f"All {total:,} lines."
    return (
        f"{n_shown:,} of {total:,} lines: the {N_WORST} worst drawn, the {N_MISREAD} most "
        f"misread, the {N_BEST} best drawn, and those that the letters above are from, as far "
        "as there is room. readings.parquet and characters.csv have all."
    )


def _left_out(
    inputs: TypewriterInputs, n_instances: int, n_lines: int, max_megabytes: float
) -> Iterator[str]:
    all_instances = sum(len(one.near) + len(one.far) for one in inputs.sprites)
    limit = f"To stay under {max_megabytes:g} MB, "
    if n_instances < all_instances:
        yield f"{limit}{all_instances - n_instances:,} instances of letters are left out."
    if n_lines < len(inputs.lines):
        yield f"{limit}{len(inputs.lines) - n_lines:,} of the lines to show are left out."


def _percent(share: float) -> str:
    decimals = 2 if 0 < share < 0.001 else 1
    return f"{100 * share:.{decimals}f}\u00a0%"


def spelled(character: str | None) -> str:
    """A character as it can be seen: marks on a dotted circle, white space by its name.

    What no font need have (private use) is spelt by its code point.
    """
    if character is None:
        return ""
    if unicodedata.category(character) in ("Co", "Cn", "Cc", "Cs"):
        return f"U+{ord(character):04X}"
    if unicodedata.combining(character):
        return f"◌{character}"
    return "space" if character.isspace() else character


def named(character: str) -> str:
    """Unicode's name and code point."""
    number = f"U+{ord(character):04X}"
    name = unicodedata.name(character, "")
    if not name:
        name = "private use" if unicodedata.category(character) == "Co" else "no name"
    return f"{name} · {number}"


# ------------------------------------------------------------------------------------- sprites


def _instances(sprites: Sequence[LearnedSprite], budget: int) -> dict[tuple[int, int], str]:
    """Pictures by sprite and instance: the medoids of all before the second ones, if they fit."""
    kept: dict[tuple[int, int], str] = {}
    every = [(*one.near, *one.far) for one in sprites]
    for turn in range(max(map(len, every), default=0)):
        for number, own in enumerate(every):
            if turn >= len(own):
                continue
            jpeg = instance_jpeg(own[turn].pixels)
            budget -= len(jpeg) + INSTANCE_BYTES
            if budget < 0:
                return kept
            kept[number, turn] = jpeg
    return kept


def _sprite_cards(
    inputs: TypewriterInputs,
    pngs: Mapping[int, str],
    instances: Mapping[tuple[int, int], str],
    numbers: Mapping[str, int],
) -> Iterator[SpriteCard]:
    by_count = sorted(range(len(inputs.sprites)), key=lambda n: (-inputs.sprites[n].count, n))
    rank = {number: place for place, number in enumerate(by_count)}
    for number, one in enumerate(inputs.sprites):
        title = spelled(one.character) + (f" {one.form + 1}" if inputs.several_forms else "")
        shown = [
            _instance_picture(
                cut,
                instances[number, turn],
                f"The medoid, {title}" if not turn else title,
                numbers,
            )
            for turn, cut in enumerate((*one.near, *one.far))
            if (number, turn) in instances
        ]
        n_near = len(one.near)
        yield SpriteCard(
            title=title,
            name=named(one.character),
            count=f"{one.count:,} ×",
            rare=_rarity(one),
            png=pngs[number],
            alt=f"Sprite of {title}",
            near=tuple(shown[:n_near]),
            far=tuple(shown[n_near:]),
            frequency=rank[number],
        )


def _rarity(sprite: LearnedSprite) -> str:
    if not sprite.learned:
        return "never learned from a line" if sprite.count else "never seen"
    return f"rare: learned from {sprite.learned}" if sprite.learned < RARE else ""


def _instance_picture(
    cut: CutInstance, jpeg: str, title: str, numbers: Mapping[str, int]
) -> InstancePicture:
    number = numbers.get(cut.line_id)
    return InstancePicture(
        jpeg=jpeg,
        alt=f"{title} on line {cut.line_id}, character {cut.place + 1}",
        anchor="" if number is None else f"c{number}-{cut.place}",
    )


# --------------------------------------------------------------------------------------- lines


def _fitting(inputs: TypewriterInputs, budget: int) -> list[tuple[DrawnLine, str]]:
    """The lines that fit, worst drawn first, and their pictures."""
    residual = dict(zip(inputs.readings["line_id"].to_pylist(),
                        inputs.readings["residual"].to_pylist(), strict=True))  # fmt: skip
    n_boxes = Counter(inputs.characters["line_id"].to_pylist())
    kept = []
    for line in inputs.lines:
        jpeg = line_jpeg(line)
        budget -= len(jpeg) + BOX_BYTES * n_boxes[line.line_id] + LINE_BYTES
        if budget < 0:
            break
        kept.append((line, jpeg))
    return sorted(kept, key=lambda one: (-residual[one[0].line_id], one[0].line_id))


def _line_cards(
    inputs: TypewriterInputs, lines: Sequence[tuple[DrawnLine, str]]
) -> Iterator[LineCard]:
    rows = {row["line_id"]: row for row in inputs.readings.to_pylist()}
    characters: dict[str, list[dict]] = {line.line_id: [] for line, _ in lines}
    for row in inputs.characters.to_pylist():
        if row["line_id"] in characters:
            characters[row["line_id"]].append(row)
    names = [line.line_id for line, _ in lines]
    by_error = sorted(names, key=lambda name: -(rows[name]["character_error"] or 0.0))
    by_name = sorted(names)
    for number, (line, jpeg) in enumerate(lines, start=1):
        row, height = rows[line.line_id], line.drawing.shape[0]
        text, read = _compared(row["text"], row["read"])
        yield LineCard(
            number=number,
            line_id=line.line_id,
            figures=_figures(row),
            why=inputs.wanted.get(line.line_id, ""),
            part=_part(inputs.parts.get(line.line_id, ""), row),
            jpeg=jpeg,
            alt=f"Line {line.line_id}, below it its drawing, below that the drawing coloured "
            "by character",
            width=line.drawing.shape[1],
            height=3 * height + 2 * GAP,
            boxes=tuple(_box(one, number, height, len(characters[line.line_id]))
                        for one in characters[line.line_id]),
            text=text,
            read=read,
            by_error=by_error.index(line.line_id),
            by_name=by_name.index(line.line_id),
        )  # fmt: skip


def _figures(row: Mapping) -> str:
    error = row["character_error"]
    misread = "" if error is None else f" · {_percent(error)} of characters misread"
    return f"residual {row['residual']:.4f}{misread}"


def _part(part: str, row: Mapping) -> str:
    of_reading = "" if row["aligned"] or not row["text"] else "; boxes are of what is read"
    return part + of_reading


def _box(row: Mapping, number: int, height: int, n: int) -> CharacterBox:
    box = (row["left"], row["top"], row["right"], row["bottom"])
    form = f", form {row['sprite'] + 1}" if row["sprite"] else ""
    return CharacterBox(
        anchor=f"c{number}-{row['place']}",
        outline=outline(box, height),
        text=f"{spelled(row['character'])}{form} · {100 * row['confidence']:.0f} % sure · "
        f"character {row['place'] + 1} of {n}",
    )


def _compared(text: str | None, read: str) -> tuple[tuple[TextPiece, ...], tuple[TextPiece, ...]]:
    """A transcription and a reading in pieces that agree or differ."""
    if not text:
        return (), (TextPiece(text=read, kind="same"),) if read else ()
    pairs = [(one, other, _kind(one, other)) for one, other in align_texts(text, read)]
    return (
        _pieces((one, kind) for one, _, kind in pairs if one is not None),
        _pieces((other, kind) for _, other, kind in pairs if other is not None),
    )


def _kind(one: str | None, other: str | None) -> str:
    if one == other:
        return "same"
    return "space" if not (one or "").strip() and not (other or "").strip() else "differs"


def _pieces(characters: Iterator[tuple[str, str]]) -> tuple[TextPiece, ...]:
    return tuple(
        TextPiece(text="".join(character for character, _ in group), kind=kind)
        for kind, group in itertools.groupby(characters, key=lambda one: one[1])
    )


# -------------------------------------------------------------------------------------- errors


def _errors(inputs: TypewriterInputs) -> Iterator[ErrorRow]:
    rows = _transcribed(inputs)
    for part, meaning in MEANINGS.items():
        own = [row for row in rows if inputs.parts.get(row["line_id"]) == part]
        if own:
            rate = error_rate([row["text"] for row in own], [row["read"] for row in own])
            yield ErrorRow(
                part=part, meaning=meaning, n_lines=f"{len(own):,}",
                n_characters=f"{rate.characters:,}", micro=_percent(rate.micro),
                macro=_percent(rate.macro),
            )  # fmt: skip


def _confusions(inputs: TypewriterInputs) -> list[ConfusionRow]:
    """What was read wrongly, the most frequent first."""
    rows = _transcribed(inputs)
    unseen = [row for row in rows if inputs.parts.get(row["line_id"]) != LEARNED]
    counts = confusions([row["text"] for row in rows], [row["read"] for row in rows])
    apart = {
        (one.reference, one.read): one.count
        for one in confusions([row["text"] for row in unseen], [row["read"] for row in unseen])
    }
    total: Counter[str | None] = Counter()
    for one in counts:
        total[one.reference] += one.count
    return [
        ConfusionRow(
            reference=spelled(one.reference),
            read=spelled(one.read),
            count=f"{one.count:,}",
            unseen=f"{apart.get((one.reference, one.read), 0):,}",
            share="" if one.reference is None
            else f"{_percent(one.count / total[one.reference])} of {total[one.reference]:,}",
        )
        for one in counts
        if one.reference != one.read
    ]  # fmt: skip


def _confused(n: int) -> str:
    if n <= MOST_CONFUSIONS:
        return ""
    return f"The {MOST_CONFUSIONS} most frequent of {n:,} kinds of misreading."
