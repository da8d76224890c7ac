"""The error that every reader of outside input raises."""


class InputError(ValueError):
    """Bad input from outside; the message says what was expected, what was got, what to do."""
