"""Commands as values, and their text as a shell script: what is printed is what runs."""

import re
import shlex

import msgspec


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A word of a command that ends with a secret; the script fetches it, so no plan shows it.

    Of a secret that has several values, separated by commas, it is the first.
    """

    before: str
    name: str
    project: str


Word = str | Secret

# The names that `Command.into` gives.
_VARIABLE = re.compile(r"(\$\{[A-Z_]+\})")


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command, with the conditions under which the script runs it."""

    words: tuple[Word, ...]
    #: A command that succeeds where there is something to do; only then this one runs.
    where: tuple[Word, ...] = ()
    #: A command that succeeds where this one was done before; then it does not run.
    unless: tuple[Word, ...] = ()
    #: Runs instead where `unless` succeeds: it updates what exists.
    instead: tuple[Word, ...] = ()
    #: A command whose output is this one's input.
    fed_by: tuple[Word, ...] = ()
    #: This command's input, where no command feeds it.
    text: str = ""
    #: The script's variable that gets the output. Words and texts refer to it as `${NAME}`.
    into: str = ""

    def script(self) -> str:
        """The command as shell text."""
        line = _line(self.words)
        if self.fed_by:
            line = f"{_line(self.fed_by)} | {line}"
        if self.into:
            return f"{self.into}=$({line})"
        if self.text:
            line = f"{line} <<{_document(self.text.rstrip())}\nEND"
        if self.where:
            return f"if {_line(self.where)} >/dev/null 2>&1\nthen {line}\nfi"
        if not self.unless:
            return line
        found = f"{_line(self.unless)} >/dev/null 2>&1"
        if not self.instead:
            return f"{found} || {line}"
        return f"if {found}\nthen {_line(self.instead)}\nelse {line}\nfi"

    def lines(self) -> list[tuple[Word, ...]]:
        """Every command line that the script may run for it."""
        return [line for line in (self.where, self.unless, self.instead, self.fed_by, self.words) if line]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Commands that belong together, and what they are for."""

    title: str
    commands: tuple[Command, ...]

    def script(self) -> str:
        """The step as shell text."""
        return "\n".join([f"echo {shlex.quote(f'== {self.title}')}", *(command.script() for command in self.commands)])


def gcloud(*words: Word) -> tuple[Word, ...]:
    """The words of a gcloud command that never prompts."""
    return ("gcloud", *words, "--quiet")


def _line(words: tuple[Word, ...]) -> str:
    return " ".join(_quoted(word) for word in words)


def _quoted(word: Word) -> str:
    if isinstance(word, str):
        return "".join(
            f'"{piece}"' if _VARIABLE.fullmatch(piece) else shlex.quote(piece)
            for piece in _VARIABLE.split(word)
            if piece or not word
        )
    fetch = _line(
        gcloud("secrets", "versions", "access", "latest", f"--secret={word.name}", f"--project={word.project}")
    )
    return f'{shlex.quote(word.before)}"$({fetch} | cut -d, -f1)"'


def _document(text: str) -> str:
    """A here-document's marker and lines, in which the shell expands our variables only."""
    if not _VARIABLE.search(text):
        return f"'END'\n{text}"
    pieces = (
        piece if _VARIABLE.fullmatch(piece) else re.sub(r"([$`\\])", r"\\\1", piece) for piece in _VARIABLE.split(text)
    )
    return f"END\n{''.join(pieces)}"
