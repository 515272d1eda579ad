"""What options of commands share with files and inputs. It imports nothing, so that help comes at once."""

from typing import Final, Literal

#: The mode of a run.
Mode = Literal["test", "full", "test-then-full"]

#: The most files that may be fetched at a time. More would load the survey's server.
MOST_AT_ONCE: Final = 32
