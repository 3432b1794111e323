"""The errors this library raises on purpose.  Each message is one line: what is wrong, where, and what to do."""


class NSTError(Exception):
    """Base of all expected errors; a command shows its message and exits with 2."""


class ParamsError(NSTError):
    """A key or value of params.yaml, or an option, that cannot be used."""


class ImageError(NSTError):
    """A picture that is missing, unreadable or of an unusable shape."""


class WeightsError(NSTError):
    """A weights file that is missing or is not the one that was published."""


class ResultError(NSTError):
    """A stored result that cannot be read back whole."""


class CapacityError(NSTError):
    """A job that needs more memory than is free."""
