"""Further sprites for letters of a typewriter that has learned one sprite a character.

A letter that is written in several forms is drawn as all of them at once, each too faint. Here it
is given a sprite for each form, and learning can go on: what a line says is read with the
probabilities of a letter's forms summed, and which form is drawn follows from their shares.

Legend: `K` symbols, `L` sprites of a symbol, `f` forms of one letter, `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from typika.errors import ConfigError, ModelError
from typika.typewriter.model import ModelConfig, Typewriter
from typika.typewriter.store import Trained


@torch.no_grad()
def split_sprites(trained: Trained, forms: Mapping[str, Float[ndarray, "f h w"]]) -> Trained:
    """The same typewriter, some of its letters with a sprite for each of their forms.

    forms: character -> its forms' images in the frame of its sprite, ink in [0, 1]; they take the
    place of all sprites that it has. Forms begin with one key and one place, so that lines are
    read, aligned and placed exactly as before; drawing tells them apart as soon as learning goes
    on. A letter that is not in `forms` is drawn exactly as before.

    Raises:
        ConfigError: a character that it does not type, or one without forms.
        ModelError: a typewriter of another kind, or images of another size than its sprites.
    """
    model = trained.model
    if not isinstance(model, Typewriter):
        raise ModelError(
            f"a typewriter of kind {model.config.kind!r}: only the default kind has letters of "
            "several sprites; fit one without --preset"
        )
    symbols = _checked(trained, forms)
    before = model.forms or (model.config.sprites,) * model.n_symbols
    counts = [len(symbols[n]) if n in symbols else before[n] for n in range(model.n_symbols)]
    widened = _widened(model, replace(model.config, sprites=max(counts)), symbols)
    widened.use(counts)
    return replace(trained, model=widened, digest="")


def _checked(
    trained: Trained, forms: Mapping[str, Float[ndarray, "f h w"]]
) -> dict[int, Float[Tensor, "f h w"]]:
    """The forms by the number of their symbol."""
    size = tuple(trained.model.letters.shape[2:])
    place = {symbol: n for n, symbol in enumerate(trained.alphabet.symbols)}
    for character, images in forms.items():
        if character not in place or place[character] == trained.model.space:
            raise ConfigError(f"forms of {character!r}: the typewriter has no such letter")
        if not len(images):
            raise ConfigError(f"forms of {character!r}: none given; need at least one")
        if tuple(images.shape[1:]) != size:
            raise ModelError(
                f"forms of {character!r}: images of {tuple(images.shape[1:])} pixels; sprites are "
                f"of {size}"
            )
    return {place[one]: torch.as_tensor(images, dtype=torch.float32).clamp(0, 1)
            for one, images in forms.items()}  # fmt: skip


def _widened(
    model: Typewriter, config: ModelConfig, symbols: Mapping[int, Float[Tensor, "f h w"]]
) -> Typewriter:
    """A model of another number of sprites that knows what this one does."""
    widened = Typewriter(
        config, model.n_symbols, space=model.space, generator=torch.Generator().manual_seed(0)
    )
    own = {"sprites", "keys", "offset", "size"}
    kept = {name: value for name, value in model.state_dict().items() if name not in own}
    keys = model.keys[:-1].view(model.n_symbols, model.config.sprites, -1)
    tensors = {
        **kept,
        "sprites": _resized(model.sprites, config.sprites, symbols),
        "keys": torch.cat(
            [_resized(keys, config.sprites, _first(keys, symbols)).flatten(0, 1), model.keys[-1:]]
        ),
        "offset": _resized(model.offset, config.sprites, _first(model.offset, symbols)),
        "size": _resized(model.size, config.sprites, _first(model.size, symbols)),
    }
    widened.load_state_dict({name: value.detach().cpu() for name, value in tensors.items()})
    return widened.eval()


def _first(
    values: Float[Tensor, "K L *d"], symbols: Mapping[int, Float[Tensor, "f h w"]]
) -> dict[int, Tensor]:
    """What a letter's first sprite has, for each of its forms."""
    return {n: values[n, :1].expand(len(forms), *values.shape[2:])
            for n, forms in symbols.items()}  # fmt: skip


def _resized(
    values: Float[Tensor, "K L *d"], n_sprites: int, new: Mapping[int, Tensor]
) -> Float[Tensor, "K M *d"]:
    """As many rows a symbol as there are sprites now; those not in use are 0."""
    resized = values.new_zeros(len(values), n_sprites, *values.shape[2:])
    for number, own in enumerate(values):
        rows = new.get(number, own[:n_sprites])
        resized[number, : len(rows)] = rows.to(values.device)
    return resized
