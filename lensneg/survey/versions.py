"""The versions of the survey: each is a set of releases, as its rows carry them in RELEASE.

Sources: the files and catalogs pages of DR8, DR9 and DR10 on legacysurvey.org. DR10 holds the south alone;
its northern neighbours are those of DR9 north. Of DR11: legacypipe, bin/generate-sweep-files.py and
bin/dr11-sweeps-and-external.sh of May 2026, whose sweep files have the columns and the cells of DR10, and
the DR11 description page.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple


class SurveyVersion(NamedTuple):
    """A version of the survey.

    Attributes
    ----------
    name : str
        Its name.
    releases : frozenset of int
        Its values of RELEASE.
    folder : str
        The folder of its sweep files on the server.
    width : int
        Degrees of RA of a cell. All cells are 5 degrees high.
    """

    name: str
    releases: frozenset[int]
    folder: str
    width: int


#: The versions, from the oldest on.
VERSIONS: Final = (
    SurveyVersion("DR8 south", frozenset({8000}), "dr8/south/sweep/8.0", 10),
    SurveyVersion("DR8 north", frozenset({8001}), "dr8/north/sweep/8.0", 10),
    SurveyVersion("DR9 south", frozenset({9010, 9012}), "dr9/south/sweep/9.0", 10),
    SurveyVersion("DR9 north", frozenset({9011}), "dr9/north/sweep/9.0", 10),
    SurveyVersion("DR10.0", frozenset({10000}), "dr10/south/sweep/10.0", 5),
    SurveyVersion("DR10.1", frozenset({10002}), "dr10/south/sweep/10.1", 5),
    SurveyVersion("DR11 south", frozenset({11010}), "dr11/south/sweep/11.0", 5),
    SurveyVersion("DR11 north", frozenset({11011}), "dr11/north/sweep/11.0", 5),
)

#: The folder of the survey's releases on its server.
SERVER: Final = "https://portal.nersc.gov/cfs/cosmo/data/legacysurvey/"

#: The versions whose sweep files can be listed and fetched, by the names that a command takes: those that
#: lensneg reads and that are on the server, newest first.
FETCHED: Final = {
    name.replace(" ", "-"): next(version for version in VERSIONS if version.name == name)
    for name in ("DR11 south", "DR11 north", "DR10.1", "DR9 south", "DR9 north")
}


def versions_of(releases: Iterable[int]) -> list[SurveyVersion]:
    """Return the versions that have some of the releases.

    Parameters
    ----------
    releases : iterable of int
        Values of RELEASE.

    Returns
    -------
    list of SurveyVersion
        From the oldest on.

    Examples
    --------
    >>> [version.name for version in versions_of([10002, 9011])]
    ['DR9 north', 'DR10.1']
    """
    wanted = set(releases)
    return [version for version in VERSIONS if version.releases & wanted]


def release_text(release: int) -> str:
    """Return a release with the name of its version.

    Parameters
    ----------
    release : int
        A value of RELEASE.

    Returns
    -------
    str
        The number alone for a release of no known version.

    Examples
    --------
    >>> release_text(9012), release_text(5000)
    ('9012 (DR9 south)', '5000')
    """
    return " ".join([str(release), *(f"({version.name})" for version in versions_of([release]))])
