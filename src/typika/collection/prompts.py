"""From a label to the text a model is conditioned on; every stage reads the same template."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from typika.errors import ConfigError

_FIELD = "{label}"
_NAMED = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class PromptTemplate:
    """The prompt of a label and the prompt of no label.

    Typicality compares the two, so the null text should be the label's text with the label
    taken out, and nothing else changed:

    >>> cars = PromptTemplate(label="A car from the {label}s.", null="A car.")
    >>> cars.text("1920")
    'A car from the 1920s.'
    >>> cars.null_text
    'A car.'

    `spaces` holds characters of a label that the prompts show as spaces. `nested` holds further
    prompts for training only, which say more of an image than its label does; they may name
    columns of the metadata in braces beside `{label}`:

    >>> scenes = PromptTemplate(
    ...     label="An image of {label}.", spaces="_/", nested=("A {label} in {city}.",)
    ... )
    >>> scenes.text("beer_garden/outdoor")
    'An image of beer garden outdoor.'
    >>> scenes.nested_texts("street", {"city": "Lyon"})
    ('A street in Lyon.',)

    Raises:
        ConfigError: `label` does not hold `{label}` exactly once, `label` or `null` holds another
            brace, or a prompt of `nested` names nothing or has a brace that is not of a name.
    """

    label: str = "A photo of {label}."
    null: str = "A photo."
    spaces: str = ""
    nested: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.label.count(_FIELD) != 1:
            raise ConfigError(
                f"prompt {self.label!r}: need {_FIELD} exactly once, found it "
                f"{self.label.count(_FIELD)} times; write e.g. 'A photo of {_FIELD}.'"
            )
        for text in (self.label.replace(_FIELD, ""), self.null):
            if "{" in text or "}" in text:
                raise ConfigError(
                    f"prompt {text!r}: braces are only for the {_FIELD} of the label's prompt; "
                    "remove the others"
                )
        for text in self.nested:
            bare = _NAMED.sub("", text)
            if not _NAMED.search(text) or "{" in bare or "}" in bare:
                raise ConfigError(
                    f"nested prompt {text!r}: need {_FIELD} or metadata columns, each in its own "
                    "braces, as in 'A photo of {label} in {city}.'"
                )

    @property
    def null_text(self) -> str:
        """The prompt that names no label."""
        return self.null

    def text(self, label: str) -> str:
        """Return the prompt of `label`, which is inserted literally, braces and all."""
        before, after = self.label.split(_FIELD)
        return before + self._shown(label) + after

    def nested_texts(self, label: str, metadata: Mapping[str, str]) -> tuple[str, ...]:
        """Return the nested prompts of one image, values inserted literally.

        A prompt that names a column whose value is empty here is left out.

        Args:
            label: the image's label.
            metadata: the image's values by column; only the columns that are named are read.

        Raises:
            ConfigError: a prompt names a column that `metadata` has not.
        """
        self.require_columns(metadata)
        values = {name: metadata[name] for name in self._columns}
        empty = {name for name, value in values.items() if not value.strip()}
        values["label"] = self._shown(label)
        return tuple(
            _NAMED.sub(lambda field: values[field[1]], text)
            for text in self.nested
            if empty.isdisjoint(_NAMED.findall(text))
        )

    def require_columns(self, columns: Collection[str]) -> None:
        """Raise ConfigError if a nested prompt names a column that is not among `columns`."""
        for name in self._columns:
            if name not in columns:
                raise ConfigError(
                    f"nested prompt names {{{name}}}, but there is no such column; columns: "
                    f"{', '.join(columns) or 'none'}"
                )

    @property
    def _columns(self) -> tuple[str, ...]:
        """The metadata columns that the nested prompts name, each once."""
        named = [name for text in self.nested for name in _NAMED.findall(text)]
        return tuple(name for name in dict.fromkeys(named) if name != "label")

    def _shown(self, label: str) -> str:
        return label.translate(dict.fromkeys(map(ord, self.spaces), " "))

    @classmethod
    def parse(
        cls, text: str, null: str | None = None, spaces: str = "", nested: tuple[str, ...] = ()
    ) -> PromptTemplate:
        """Build a template from what a user typed.

        Args:
            text: the label's prompt, with `{label}` once.
            null: the prompt of no label. `None` stands for the empty text, which is the prompt
                Stable Diffusion itself was trained to read as "no condition". Cutting the label
                out of `text` would leave broken English ("A car from the s."), so a better
                null text ("A car.") has to be written by someone who reads it.
            spaces: characters of a label that prompts show as spaces.
            nested: further prompts, for training only.

        Raises:
            ConfigError: as the class.
        """
        return cls(label=text, null="" if null is None else null, spaces=spaces, nested=nested)
