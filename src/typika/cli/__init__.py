"""The command line: `typika COMMAND`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code.

    0 done, 1 failed, 2 wrong usage or configuration, 3 unusable data, 130 interrupted.
    """
    from typika.cli.commands import app
    from typika.errors import TypikaError

    try:
        app(sys.argv[1:] if arguments is None else list(arguments))
    except TypikaError as error:
        print(f"typika: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `typika check ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        print(f"typika: {error}; what is finished is kept, run the same command again",
              file=sys.stderr)  # fmt: skip
        sys.exit(1)
    except KeyboardInterrupt:
        print("typika: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
