"""The exceptions that typika raises on purpose, and the exit code each ends a command with.

```
TypikaError      1  anything that stops a run
|- ConfigError   2  an option, a configuration value or a run folder that does not fit
|- DataError     3  what the user brought cannot be used
`- ModelError    1  a model that cannot be loaded or does not fit the collection
```

Every message names the thing, the value and the remedy.
"""


class TypikaError(Exception):
    """Base of all errors that typika raises on purpose."""

    exit_code = 1


class ConfigError(TypikaError):
    """An option or configuration value is unknown, malformed or contradicts the run folder."""

    exit_code = 2


class DataError(TypikaError):
    """The images, labels or tables that the user brought cannot be used."""

    exit_code = 3


class ModelError(TypikaError):
    """A model cannot be found, loaded or applied."""

    exit_code = 1
