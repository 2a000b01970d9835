"""What checking finds: components, problems and notes, the last two as complete lines with their place."""

from ppdet_db.config.source import Config
from ppdet_db.config.tree import KeyPath, dotted
from ppdet_db.registry import Spec


class Report:
    """Collects everything that is to be said about one config.

    Args:
        config: gives the file and line of each path.
    """

    def __init__(self, config: Config):
        self.config = config
        self.problems: list[str] = []
        self.specs: dict[KeyPath, Spec] = {}  # every component whose class is known, whatever is wrong with it
        self.notes: list[str] = list(config.notes)
        section = config.data.get("Global")
        self.strict = not (isinstance(section, dict) and section.get("strict") is False)
        self.has_unknown_keys = False
        self._wrong: list[KeyPath] = []

    def place(self, path: KeyPath, written_at: KeyPath = ()) -> str:
        """`b.yml:4: Architecture.Neck`, without the file for a config that came as a dict.

        Args:
            path: what is spoken of.
            written_at: the path whose line to name, where it is another.
        """
        return ": ".join(filter(None, [self.config.where(written_at or path), dotted(path)]))

    def problem(self, path: KeyPath, text: str, written_at: KeyPath = ()) -> None:
        """An error at `path`; for `written_at` see `place`."""
        self.problems.append(self._line(path, text, written_at))
        self._wrong.append(path)

    def note(self, path: KeyPath, text: str) -> None:
        self.notes.append(self._line(path, text))

    def unknown_key(self, path: KeyPath, text: str) -> None:
        """An error, or a warning where Global.strict is false."""
        if self.strict:
            self.has_unknown_keys = True
            self.problem(path, text)
        else:
            self.note(path, f"ignored: {text}")

    def is_clean(self, path: KeyPath) -> bool:
        """Whether nothing is wrong at `path` or below."""
        return not any(wrong[: len(path)] == path for wrong in self._wrong)

    def _line(self, path: KeyPath, text: str, written_at: KeyPath = ()) -> str:
        return ": ".join(filter(None, [self.place(path, written_at), text]))
