"""The one exception that means "the user can mend this"."""


class InputError(ValueError):
    """Wrong input: a file, a list, a key or a value that its owner can correct.

    The message names what was expected, what came, where, and the next step. Command lines print it as one
    paragraph and exit with status 2; every other exception is a fault of the program and keeps its traceback.
    """
