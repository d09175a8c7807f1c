"""`typika fetch`: the images of IIIF manifests onto this machine."""

from __future__ import annotations

from pathlib import Path


def fetch(
    source: str,
    *,
    out: Path | None = None,
    longest_side: int = 1500,
    most_megabytes: float = 100.0,
    pause: float = 0.5,
    at_most: int = 100_000,
) -> None:
    """Fetch the images of IIIF manifests into a folder, which `typika mine` then takes.

    What is there already is not asked for again, so a fetch that was stopped goes on.

    Args:
        source: Manifest or collection of manifests, a file or an address, or a folder of them.
        out: Folder; that of the manifests by default.
        longest_side: Pixels asked of image services; 0 for the largest that they give.
        most_megabytes: Of one image; larger ones are left out.
        pause: Seconds between two requests.
        at_most: Images in all.
    """
    from typika import fetching
    from typika.console import warn

    config = fetching.FetchConfig(longest_side=longest_side, most_megabytes=most_megabytes,
                                  pause=pause, at_most=at_most)  # fmt: skip
    found = fetching.fetch(source, out, config)
    for one in found.failed[:10]:
        warn(f"{one.file_name}: {one.reason}")
    print(f"{found.folder}: {found.fetched} images fetched, {found.there} there before, "
          f"{len(found.failed)} not to be had")  # fmt: skip
