"""The errors whose message is meant for the person at the keyboard: commands print it alone and exit with 1."""

from collections.abc import Sequence


class DetError(Exception):
    """Something the user can mend. The message names the file, line, key or picture and says what to do."""


class ConfigError(DetError):
    """Every problem found in a config, one line each.

    Args:
        problems: complete lines, as they are to be read: `b.yml:4: Architecture.Neck.name: no neck named ...`.
    """

    def __init__(self, problems: Sequence[str] | str):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class SampleError(DetError):
    """A picture or its label cannot be used.

    Args:
        reason: the cause alone, one sentence.
        img_path, line: the picture and where its label stands; a transform leaves them to the dataset, which knows.
    """

    def __init__(self, reason: str, img_path: str = "", line: str = ""):
        super().__init__(reason)
        self.img_path = img_path
        self.line = line


class CheckpointError(DetError):
    """Weights or training state cannot be saved, read or matched."""
