"""How the command ends: its exit codes, and the error that carries one."""

#: Every page of every document was read.
DONE = 0
#: Nothing could be read.
FAILED = 1
#: A file, an option or a setting is wrong.
BAD_INPUT = 2
#: Some documents or pages could not be read.
SOME_FAILED = 3
#: Everything was read, and pages should be compared with the document (only with `--strict`).
TO_CHECK = 4
#: Ctrl-C.
INTERRUPTED = 130


class CommandError(Exception):
    """The command ends here with `code`; the message is the line to show."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
