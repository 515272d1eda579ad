"""The file spectroscopic.json: the spectroscopic lenses of a run, compared with its positives."""

from pydantic import Field

from lensneg.schema.record import Count, Record


class GradeResult(Record):
    """The positives of a grade."""

    grade: str = Field(description="As in the catalogue. Empty for positives without one.")
    positives: Count = Field(description="Entries inside the cells of the sweep files.")
    confirmed: Count = Field(description="Of these, within the radius of a spectrum.")


class SpectroscopicSystem(Record):
    """A system of the spectroscopic catalogues."""

    name: str = Field(description="Of its first spectrum, as the position is.")
    ra: float
    dec: float
    spectra: Count


class SpectroscopicLenses(Record):
    """The systems of the spectroscopic catalogues, compared with the positives."""

    systems: Count = Field(description="Systems of all spectroscopic catalogues.")
    inside: Count = Field(description="Of these, inside the cells of the sweep files.")
    among_positives: Count = Field(
        description="Of those inside, with a spectrum within the radius of an entry of the positives."
    )
    grades: tuple[GradeResult, ...]
    not_among_positives: tuple[SpectroscopicSystem, ...] = Field(
        description="The others inside: candidates for the next catalogue of positives."
    )
