"""How many at once: as many as the device's memory holds, found once and remembered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from typika.console import say
from typika.errors import ModelError
from typika.files import write_text

Result = TypeVar("Result")
REMEMBERED = "device.json"  # in the run folder: what fitted on which device


class BatchSize:
    """A batch size that halves when the device runs out of memory.

    What fits is written into the run folder, so that the next process starts from there.
    """

    def __init__(self, name: str, start: int, device: torch.device, folder: Path) -> None:
        self.name, self.device, self.path = name, device, folder / REMEMBERED
        self.size = max(1, self._remembered().get(self._key, start))

    @property
    def _key(self) -> str:
        cuda = self.device.type == "cuda"
        place = torch.cuda.get_device_name(self.device) if cuda else self.device.type
        return f"{self.name} on {place}"

    def _remembered(self) -> dict[str, int]:
        if not self.path.exists():
            return {}
        known: dict[str, int] = json.loads(self.path.read_text(encoding="utf-8"))
        return known

    def attempt(self, function: Callable[[int], Result]) -> Result:
        """Call `function(size)`, again with half the size where memory runs out.

        `function` must be one that may be begun again.

        Raises:
            ModelError: not even one fits.
        """
        while True:
            try:
                return function(self.size)
            except torch.OutOfMemoryError as error:
                if self.size == 1:
                    raise ModelError(
                        f"{self.name}: not even one image fits into the memory of {self.device}; "
                        "lower model.resolution, finetune with model.finetune=lora or with "
                        "model.gradient_checkpointing=true, or free the device of other work"
                    ) from error
            # Outside the handler, whose traceback keeps the failed call's tensors alive.
            self._halve()

    def _halve(self) -> None:
        self.size //= 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        say(f"{self.name}: out of memory; going on with {self.size} at once")
        text = json.dumps({**self._remembered(), self._key: self.size}, indent=2)
        write_text(self.path, text + "\n")
