"""Pauses between requests to a server, which the user can end."""

import threading
from typing import Any, Final, Self

from urllib3 import BaseHTTPResponse
from urllib3.util import Retry

from lensneg.errors import TransientError

#: A server that asks for a longer pause than this many seconds is given up.
LONGEST_PAUSE: Final = 60.0


class Interrupted(Exception):  # noqa: N818 (no error: what was asked for)
    """The user stopped the work. What is on the disk is used the next time."""


class PauseAskedError(TransientError):
    """A server asks for a longer pause than :data:`LONGEST_PAUSE`.

    Parameters
    ----------
    what : str
        What is wrong.
    seconds : float
        The pause that the server asks for.
    **context : str
        The place and the remedy.
    """

    def __init__(self, what: str, seconds: float = 0.0, **context: str) -> None:
        super().__init__(what, **context)
        self.seconds = seconds


class InterruptibleRetry(Retry):
    """The retries of urllib3, with pauses that an event ends.

    Parameters
    ----------
    stop : threading.Event
        Ends a pause with :class:`Interrupted` when it is set.
    where : str
        Address of the server; errors name it.
    **options : any
        Those of urllib3.
    """

    def __init__(self, *, stop: threading.Event, where: str, **options: Any) -> None:
        super().__init__(**options)
        self._stop, self._where = stop, where

    def new(self, **changes: Any) -> Self:
        """Return a copy with some options changed. One is made for each attempt.

        Parameters
        ----------
        **changes : any
            The options.

        Returns
        -------
        InterruptibleRetry
            The copy.
        """
        return super().new(stop=self._stop, where=self._where, **changes)

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        """Wait as long as the server asks for (Retry-After), or else longer with each attempt.

        Parameters
        ----------
        response : BaseHTTPResponse, optional
            The server's answer, if there is one.

        Raises
        ------
        PauseAskedError
            If the server asks for a pause that is too long.
        Interrupted
            If the event is set.
        """
        seconds = self.get_backoff_time()
        if response is not None:
            seconds = self.get_retry_after(response) or seconds
            if seconds > LONGEST_PAUSE:
                what = f"the server asks for a pause of {seconds:,.0f} s ({response.status})"
                remedy = "the same command goes on after it"
                raise PauseAskedError(what, seconds, where=self._where, remedy=remedy)
        if self._stop.wait(seconds):
            raise Interrupted
