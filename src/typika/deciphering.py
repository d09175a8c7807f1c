"""A run of a typewriter and a text of some language -> a key and a plaintext: decipher().

symbols   signs or transcriptions of the run  -> symbols.parquet|csv, tokens.parquet, images/,
                                                 transcription.txt, statistics.json, pairs.csv,
                                                 merging.csv
solve     tokens, the language                -> key.json, key.csv, keys.csv, plaintext.txt,
                                                 in_context.txt, letters.parquet|csv
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from typika import config as settings
from typika.ciphers.ciphertext import (
    SPACE,
    CipherText,
    Medoid,
    medoids,
    of_signs,
    of_table,
    of_texts,
    token_table,
)
from typika.ciphers.language import LanguageModel, NGramModel, score_table
from typika.ciphers.merging import MergingConfig, Spelling
from typika.ciphers.reading import Reading, ReadingConfig, read_in_context
from typika.ciphers.solving import NULL, Key, Solution, SolvingConfig, solve
from typika.ciphers.statistics import Statistics, statistics
from typika.console import say, task, warn
from typika.errors import ConfigError, DataError
from typika.files import whole_folder, write_text
from typika.parallel import one_thread
from typika.run import Run, Stage
from typika.tables import read_parquet, write_csv, write_parquet, write_table
from typika.typewriter import stages
from typika.typewriter.batches import Line
from typika.typewriter.discovery import NAMES, load_signs
from typika.typewriter.prepared import Prepared

CIPHER = "cipher"  # folder in the run
SYMBOLS, TOKENS, IMAGES = "symbols.parquet", "tokens.parquet", "images"
TRANSCRIPTION, STATISTICS = "transcription.txt", "statistics.json"
PAIRS, MERGING = "pairs.csv", "merging.csv"
KEY, KEY_TABLE, KEYS = "key.json", "key.csv", "keys.csv"
PLAINTEXT, IN_CONTEXT, LETTERS = "plaintext.txt", "in_context.txt", "letters.parquet"
NOTHING = "∅"  # in tables, where a symbol stands for nothing


@dataclass(frozen=True, kw_only=True)
class DecipherConfig:
    """What decides a decipherment.

    spaces: whether words are told apart, in the language and in the lines; case, diacritics:
    whether they make other letters of the language.
    """

    seed: int = 0
    spaces: bool = False
    case: bool = False
    diacritics: bool = False
    merging: MergingConfig = field(default_factory=MergingConfig)
    solving: SolvingConfig = field(default_factory=SolvingConfig)
    reading: ReadingConfig = field(default_factory=ReadingConfig)


@dataclass(frozen=True)
class Deciphered:
    """A folder and what was deciphered into it."""

    folder: Path

    @cached_property
    def symbols(self) -> pa.Table:
        """A row a symbol: count, share, image, and what it is most often beside."""
        return read_parquet(self.folder / SYMBOLS)

    @cached_property
    def letters(self) -> pa.Table:
        """A row a symbol of the text: its letter by the key, in its context, and how sure."""
        return read_parquet(self.folder / LETTERS)

    @cached_property
    def key(self) -> dict[str, str]:
        """The letter of each symbol, empty where it stands for nothing."""
        found = json.loads((self.folder / KEY).read_text(encoding="utf-8"))
        return {row["symbol"]: row["letter"] for row in found["symbols"]}

    @cached_property
    def plaintext(self) -> list[str]:
        """What each line says by the key."""
        return (self.folder / PLAINTEXT).read_text(encoding="utf-8").split("\n")[:-1]

    @cached_property
    def transcription(self) -> list[str]:
        """Each line in symbols."""
        return (self.folder / TRANSCRIPTION).read_text(encoding="utf-8").split("\n")[:-1]

    @property
    def summary(self) -> list[str]:
        """What a person wants to know first."""
        found = json.loads((self.folder / KEY).read_text(encoding="utf-8"))
        told = json.loads((self.folder / STATISTICS).read_text(encoding="utf-8"))
        unsure = [row["symbol"] for row in found["symbols"] if row["confidence"] < 0.9]
        return [
            f"symbols: {told['n_symbols']} different ones, {told['n']} in all, index of "
            f"coincidence {told['coincidence']:.4f}",
            f"key: {found['score']:.0f} nats, {found['per_symbol']:.2f} bits a symbol",
            f"unsure of: {' '.join(unsure) or 'none'}",
        ]


def configure(*sources: Mapping[str, Any]) -> DecipherConfig:
    """The configuration of nested settings, later ones winning.

    Raises:
        ConfigError: a setting that is not known, or a value that cannot be.
    """
    return settings.build(DecipherConfig, *sources)


def decipher(
    run: str | Path,
    language: str | Path | LanguageModel,
    out: str | Path | None = None,
    *,
    config: DecipherConfig | None = None,
    overwrite: bool = False,
) -> Deciphered:
    """Find the symbols of a run's lines and the letters that they stand for.

    run: folder that `typika typewriter fit` made, of lines without transcriptions, or transcribed
    in symbols, one character each. language: a text file, or a model of the language. out: folder,
    `RUN/cipher` by default.

    Raises:
        ConfigError: no finished run, or `out` was made with other settings.
        DataError: no text of a language, or nothing to decipher.
    """
    config = config or DecipherConfig()
    fitted = Run.read(Path(run))
    if not fitted.finished("align"):
        raise ConfigError(f"{run}: not finished; run `typika typewriter fit` to its end first")
    model = _model(language, config)
    folder = Path(out) if out else Path(run) / CIPHER
    facts = {"source": str(Path(run).resolve()), "language": str(language)}
    with Run.create(folder, config, facts=facts, overwrite=overwrite) as opened, one_thread():
        _find_symbols(opened, fitted, config)
        _find_key(opened, model, config)
    return Deciphered(folder)


def _model(language: str | Path | LanguageModel, config: DecipherConfig) -> LanguageModel:
    if not isinstance(language, str | Path):
        return language
    try:
        text = Path(language).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{language}: cannot be read ({error.strerror}); pass --language FILE"
                        ) from error  # fmt: skip
    except UnicodeDecodeError as error:
        raise DataError(f"{language}: not a text in UTF-8 ({error}); save it as UTF-8"
                        ) from error  # fmt: skip
    try:
        return NGramModel.learn(
            text, order=config.solving.order, spaces=config.spaces, case=config.case,
            diacritics=config.diacritics,
        )  # fmt: skip
    except DataError as error:
        raise DataError(f"{language}: {error}") from error


def _find_symbols(run: Run, fitted: Run, config: DecipherConfig) -> None:
    """The stage `symbols`."""
    causes = {name: fitted.output_digest(name) for name in ("prepare", "align")}
    values = settings.as_values(config)
    causes |= {"merging": values["merging"], "spaces": values["spaces"]}
    outputs = (SYMBOLS, "symbols.csv", TOKENS, IMAGES, TRANSCRIPTION, STATISTICS, PAIRS, MERGING)

    def compute() -> None:
        lines = Prepared.open(fitted.path(stages.PREPARED)).lines({}, None)
        text = _ciphertext(fitted, lines, config)
        told = statistics(text.lines, len(text.names))
        _write_symbols(run, text, told, medoids(text, lines))

    run.stage(Stage(name="symbols", causes=causes, outputs=outputs), compute)


def _ciphertext(fitted: Run, lines: list[Line], config: DecipherConfig) -> CipherText:
    if fitted.path(stages.SIGNS).exists():
        say("symbols: from the signs that were found")
        signs = load_signs(fitted.path(stages.SIGNS))
        return of_signs(signs, lines, config.merging, spaces=config.spaces)
    rows = read_parquet(fitted.path(stages.READINGS)).to_pylist()
    texts = {row["line_id"]: row["text"] or row["read"] or "" for row in rows}
    characters = read_parquet(fitted.path(stages.CHARACTERS)).to_pylist()
    return of_texts(texts, characters, spaces=config.spaces)


def _write_symbols(
    run: Run, text: CipherText, told: Statistics, shown: list[Medoid | None]
) -> None:
    with whole_folder(run.path(IMAGES)) as temporary:
        for symbol, one in enumerate(shown):
            if one is not None:
                Image.fromarray(np.ascontiguousarray(one.pixels)).save(
                    temporary / f"{symbol:03d}.png"
                )
    names = [*text.names, None]  # −1 is none
    rows = [
        {
            **asdict(one), "symbol": text.names[one.symbol],
            "spellings": " ".join(text.spellings[one.symbol]),
            "before": names[one.before], "after": names[one.after],
            "image": f"{IMAGES}/{one.symbol:03d}.png" if place is not None else None,
            "line_id": text.line_ids[place.line] if place is not None else None,
            "place": place.place if place is not None else None,
        }
        for one, place in zip(told.symbols, shown, strict=True)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows)
    write_table(table, run.path(SYMBOLS))
    write_parquet(
        token_table(text).replace_schema_metadata({"line_ids": json.dumps(text.line_ids)}),
        run.path(TOKENS),
    )
    write_text(run.path(TRANSCRIPTION), "".join(f"{line}\n" for line in text.transcription()))
    plain = {
        name: value for name, value in asdict(told).items() if name not in ("symbols", "pairs")
    }
    write_text(run.path(STATISTICS), json.dumps(plain, indent=2) + "\n")
    pairs = [{**asdict(one), "one": text.names[one.one], "other": text.names[one.other]}
             for one in told.pairs]  # fmt: skip
    write_csv(pa.Table.from_pylist(pairs, _PAIRS), run.path(PAIRS))
    steps = text.merged.steps if text.merged else ()
    write_csv(pa.Table.from_pylist([
        {"step": one.kind, "one": _signs(one.one), "other": _signs(one.other), "bits": one.bits}
        for one in steps
    ], _STEPS), run.path(MERGING))  # fmt: skip


_PAIRS = pa.schema([("one", pa.string()), ("other", pa.string()), ("count", pa.int64()),
                    ("expected", pa.float64())])  # fmt: skip
_STEPS = pa.schema([("step", pa.string()), ("one", pa.string()), ("other", pa.string()),
                    ("bits", pa.float64())])  # fmt: skip


def _signs(spelling: Spelling) -> str:
    return "".join(NAMES[sign] for sign in spelling)


def _find_key(run: Run, model: LanguageModel, config: DecipherConfig) -> None:
    """The stage `solve`."""
    values = settings.as_values(config)
    causes = {
        "symbols": run.output_digest("symbols"),
        "language": _language_digest(model, config.solving.order),
        **{name: values[name] for name in ("seed", "solving", "reading")},
    }
    outputs = (KEY, KEY_TABLE, KEYS, PLAINTEXT, IN_CONTEXT, LETTERS, "letters.csv")

    def compute() -> None:
        text = _stored(run)
        stream, owner = text.stream()
        known = {} if text.space is None else {text.space: SPACE}
        solving = _fitting(config.solving, len(text.names) - len(known), model)
        with task("keys", solving.n_sweeps) as advance:
            solution = solve(stream, model, solving, seed=config.seed, known=known, tell=advance)
        reading = read_in_context(stream, solution.best, model, config.reading, tuple(known))
        _write_key(run, text, model, solution, len(stream))
        _write_plaintext(run, text, model, solution.best, (reading, owner))

    run.stage(Stage(name="solve", causes=causes, outputs=outputs), compute)


def _stored(run: Run) -> CipherText:
    symbols, tokens = read_parquet(run.path(SYMBOLS)), read_parquet(run.path(TOKENS))
    line_ids = json.loads(tokens.schema.metadata[b"line_ids"])
    spellings = [one.split(" ") for one in symbols["spellings"].to_pylist()]
    return of_table(tokens, line_ids, symbols["symbol"].to_pylist(), spellings)


def _language_digest(model: LanguageModel, order: int) -> str:
    state = blake2b(model.alphabet.encode("utf-8"), digest_size=16)
    state.update(np.ascontiguousarray(score_table(model, order)).tobytes())
    return state.hexdigest()


def _fitting(solving: SolvingConfig, n_symbols: int, model: LanguageModel) -> SolvingConfig:
    """Homophones where there are more symbols than letters."""
    n_letters = len(model.alphabet.replace(SPACE, ""))
    if solving.homophones or n_symbols <= n_letters:
        return solving
    warn(
        f"{n_symbols} symbols for {n_letters} letters: several are taken to be one letter, as "
        "with --homophones"
    )
    return replace(solving, homophones=True)


def _shown(model: LanguageModel, letter: int) -> str:
    return "" if letter == NULL else model.alphabet[letter]


def _write_key(
    run: Run, text: CipherText, model: LanguageModel, solution: Solution, n: int
) -> None:
    best = solution.best
    rows = [
        {
            "symbol": name,
            "letter": _shown(model, int(best.letters[symbol])),
            "confidence": float(solution.confidence[symbol]),
            "margin": float(
                min(solution.margin[symbol], 1e6)
            ),  # nats; a known letter has no rival
            "runner_up": _shown(model, int(solution.runner_up[symbol])),
            "agreement": float(solution.agreement[symbol]),
        }
        for symbol, name in enumerate(text.names)
    ]
    found = {"score": best.score, "per_symbol": -best.score / max(n, 1) / float(np.log(2)),
             "alphabet": model.alphabet, "symbols": rows}  # fmt: skip
    write_text(run.path(KEY), json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    table = pa.Table.from_pylist(
        [{**row, "letter": row["letter"] or NOTHING, "runner_up": row["runner_up"] or NOTHING}
         for row in rows]
    )  # fmt: skip
    write_csv(table, run.path(KEY_TABLE))
    keys = [{"rank": rank, "score": key.score,
             **{f"symbol {name}": _shown(model, int(key.letters[symbol])) or NOTHING
                for symbol, name in enumerate(text.names)}}
            for rank, key in enumerate(solution.keys, start=1)]  # fmt: skip
    write_csv(pa.Table.from_pylist(keys), run.path(KEYS))


def _write_plaintext(
    run: Run,
    text: CipherText,
    model: LanguageModel,
    best: Key,
    in_context: tuple[Reading, np.ndarray],
) -> None:
    reading, owner = in_context
    by_key = [[_shown(model, int(best.letters[one])) for one in line] for line in text.lines]
    letters = [
        [_shown(model, int(one)) for one in reading.letters[owner == number]]
        for number in range(len(text.lines))
    ]
    write_text(run.path(PLAINTEXT), "".join("".join(line) + "\n" for line in by_key))
    write_text(run.path(IN_CONTEXT), "".join("".join(line) + "\n" for line in letters))
    table = token_table(text)
    flat = {
        "letter": [one for line in by_key for one in line],
        "in_context": [one for line in letters for one in line],
        "confidence": reading.confidence[owner >= 0],
    }
    for name, values in flat.items():
        table = table.append_column(name, pa.array(values))
    write_table(table, run.path(LETTERS))
