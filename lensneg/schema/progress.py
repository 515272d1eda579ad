"""How far long work is, for those who wait for it."""

from collections.abc import Callable

#: Takes what is counted, how many are done, and of how many.
Tell = Callable[[str, int, int], None]


def tell_nobody(_what: str, _done: int, _total: int) -> None:
    """Take what is told, and do nothing.

    Parameters
    ----------
    _what : str
        What is counted.
    _done, _total : int
        How many are done, and of how many.
    """
