"""The errors this library raises on purpose.  Each message is one line: what is wrong, where, and what to do."""


def one_line(text: str) -> str:
    """The text on one line that any terminal takes: what cannot be printed is escaped, as in `repr`.

    Names of files may hold line feeds, control sequences and bytes that are no text.
    """
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return shown.encode("utf-8", "backslashreplace").decode()


class NSTError(Exception):
    """Base of all expected errors; a command shows its message and exits with 2."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class ParamsError(NSTError, ValueError):
    """A key or value of params.yaml, or an option, that cannot be used.

    A ValueError too, so that pydantic collects it together with the field that it is about.
    """


class OptionError(ParamsError):
    """An option of `nst.transfer` and its like, or of the `nst` command, that cannot be used."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(option, problem)
        self.option = option
        self.problem = problem

    def __str__(self) -> str:
        return one_line(f"{self.option}: {self.problem}")


class ImageError(NSTError):
    """A picture that is missing, unreadable or of an unusable shape."""


class OutputError(NSTError):
    """A place that a picture cannot be written to."""


class WeightsError(NSTError):
    """A weights file that is missing or is not the one that was published."""


class ResultError(NSTError):
    """A stored result that cannot be read back whole."""


class DivergedError(NSTError):
    """An optimisation whose loss or picture is no number any more."""


class CapacityError(NSTError):
    """A job that needs more memory than is free."""
