"""The columns of a manifest: names, types, units, meaning, and the step that fills each.

The map writes the columns of stage ``map`` into the pool files. The draw adds the columns of stage ``draw``,
which depend on the whole run.

A value that a source does not have is null, in every column that may lack one. No column holds NaN: some
programs count NaN as larger than every number, and others as no value.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import pyarrow as pa

from lensneg.schema.lens_facts import lens_schema

Stage = Literal["map", "draw"]


class ManifestColumn(NamedTuple):
    """A column of the manifest."""

    name: str
    type: pa.DataType
    description: str
    unit: str = ""
    nullable: bool = True
    stage: Stage = "map"
    #: The sweep column that it is copied from; None where the value is computed.
    sweep: str | None = None
    #: The column of the ``-pz`` file that it is copied from.
    pz: str | None = None


_S, _I16, _I32, _I64 = pa.string(), pa.int16(), pa.int32(), pa.int64()

_F32, _F64, _TIME = pa.float32(), pa.float64(), pa.timestamp("us", tz="UTC")


def _by_band(name: str, text: str, unit: str = "") -> list[ManifestColumn]:
    """Return the columns of a quantity that is given for each band."""
    return [
        ManifestColumn(f"{name}_{b}", _F32, f"{text}, {b} band", unit, sweep=f"{name}_{b}".upper())
        for b in "grz"
    ]


#: What is said of the columns that only the criteria of some configs need.
_BY_NEED: Final = "null unless a criterion of N2 needs it"

#: The columns of a sweep that are read only if a criterion of the config needs them.
READ_BY_NEED: Final = ("FRACFLUX_R", "RCHISQ_R", "FLUX_IVAR_R")

#: All columns of the manifest, in order: the 48 of the plan, and among and after them those of lensneg.
COLUMNS: Final[tuple[ManifestColumn, ...]] = (
    ManifestColumn("galaxy_id", _S, "brickname_objid; unique within a release", nullable=False, stage="draw"),
    ManifestColumn("brickname", _S, "brick name", nullable=False, sweep="BRICKNAME"),
    ManifestColumn("objid", _I32, "object number in its brick", nullable=False, sweep="OBJID"),
    ManifestColumn("ra", _F64, "right ascension, ICRS", "deg", nullable=False, sweep="RA"),
    ManifestColumn("dec", _F64, "declination, ICRS", "deg", nullable=False, sweep="DEC"),
    ManifestColumn("type", _S, "Tractor morphological type", nullable=False, sweep="TYPE"),
    ManifestColumn("nobs_z", _I16, "exposures in z at the source", nullable=False, sweep="NOBS_Z"),
    ManifestColumn("nobs_z_bin", _S, "stratum: bin of nobs_z", nullable=False),
    ManifestColumn("type_bin", _S, "stratum: bin of type", nullable=False),
    *_by_band("flux", "total flux", "nanomaggy"),
    ManifestColumn("flux_w1", _F32, "WISE W1 flux", "nanomaggy", sweep="FLUX_W1"),
    ManifestColumn("mag_g", _F64, "observed AB magnitude, g; null without positive flux", "mag"),
    ManifestColumn("mag_r", _F64, "observed AB magnitude, r; null without positive flux", "mag"),
    ManifestColumn("mag_z", _F64, "observed AB magnitude, z; null without positive flux", "mag"),
    ManifestColumn("g_minus_r", _F64, "observed colour g - r", "mag"),
    ManifestColumn("r_minus_z", _F64, "observed colour r - z", "mag"),
    ManifestColumn("z_minus_w1", _F64, "observed colour z - W1", "mag"),
    *_by_band("psfsize", "PSF FWHM", "arcsec"),
    *_by_band("psfdepth", "inverse variance of a point source's flux", "1/nanomaggy^2"),
    *_by_band("galdepth", "inverse variance of a 0.45 arcsec galaxy's flux", "1/nanomaggy^2"),
    ManifestColumn("ebv", _F32, "Galactic extinction E(B-V), SFD98", "mag", sweep="EBV"),
    ManifestColumn("maskbits", _I32, "DR10 MASKBITS", nullable=False, sweep="MASKBITS"),
    ManifestColumn("fitbits", _I16, "DR10 FITBITS", sweep="FITBITS"),
    *_by_band("mw_transmission", "Galactic transmission"),
    ManifestColumn("shape_r", _F32, "half-light radius", "arcsec", sweep="SHAPE_R"),
    ManifestColumn("shape_e1", _F32, "ellipticity component 1", sweep="SHAPE_E1"),
    ManifestColumn("shape_e2", _F32, "ellipticity component 2", sweep="SHAPE_E2"),
    ManifestColumn("sersic", _F32, "Sersic index; fitted for SER only", sweep="SERSIC"),
    ManifestColumn("healpix_64", _I32, "HEALPix pixel, nside 64, NESTED", nullable=False),
    ManifestColumn("healpix_128", _I32, "HEALPix pixel, nside 128, NESTED", nullable=False),
    ManifestColumn("split", _S, "train, val or test, by healpix_128", nullable=False, stage="draw"),
    ManifestColumn("pool", _S, "N1, N2 or positive", nullable=False),
    ManifestColumn("confuser_category", _S, "the first N2 criterion that is met; null for none"),
    ManifestColumn(
        "confuser_flags",
        _I32,
        "bit i: criterion i of N2 is met, in the order of the categories; bit 30: a known confuser",
        nullable=False,
    ),
    ManifestColumn(
        "fracflux_r", _F32, f"others' light in the profile / flux, r; {_BY_NEED}", sweep="FRACFLUX_R"
    ),
    ManifestColumn("rchisq_r", _F32, f"reduced chi^2 of the fit, r; {_BY_NEED}", sweep="RCHISQ_R"),
    ManifestColumn(
        "flux_ivar_r", _F32, f"inverse variance of flux_r; {_BY_NEED}", "1/nanomaggy^2", sweep="FLUX_IVAR_R"
    ),
    ManifestColumn("sweep_file", _S, "name of the sweep file", nullable=False),
    ManifestColumn("row_index", _I64, "row in the sweep file, from 0", nullable=False),
    ManifestColumn("pipeline_version", _S, "lensneg version", nullable=False, stage="draw"),
    ManifestColumn("git_commit", _S, "commit of the code", nullable=False, stage="draw"),
    ManifestColumn("extraction_timestamp", _TIME, "when the run started", nullable=False, stage="draw"),
    ManifestColumn("targetid", _I64, "desitarget TARGETID: the unique key", nullable=False),
    ManifestColumn("release", _I32, "DR10 RELEASE", nullable=False, sweep="RELEASE"),
    ManifestColumn(
        "object_id", _S, "BRICKNAME-OBJID, as other data sets name a source", nullable=False, stage="draw"
    ),
    ManifestColumn("sampling_priority", _I64, "the lowest of a stratum are drawn", nullable=False),
    ManifestColumn(
        "sampling_weight",
        _F64,
        "sources that the row stands for: available / drawn in its draw; 1 for a positive",
        nullable=False,
        stage="draw",
    ),
    ManifestColumn(
        "draw", _S, "the draw that took the row; positive for a positive", nullable=False, stage="draw"
    ),
    ManifestColumn("fold", _I16, "fold, by healpix_128; null in the split test", stage="draw"),
    *(
        ManifestColumn(
            f"z_phot_{name}", _F32, f"{text}; null without a -pz file", pz=f"Z_PHOT_{name}".upper()
        )
        for name, text in (
            ("median", "photometric redshift: median of its distribution"),
            ("std", "standard deviation of the photometric redshift"),
            ("l68", "lower limit of the photometric redshift, of 68 %"),
            ("u68", "upper limit of the photometric redshift, of 68 %"),
        )
    ),
)

#: The two tables of a manifest.
PARTS: Final = ("negatives", "positives")

#: Columns that identify the run, not the sample; see :func:`lensneg.schema.content.content_sha256`.
RUN_COLUMNS: Final = ("pipeline_version", "git_commit", "extraction_timestamp")

#: The columns that the content hash leaves out: those of the run, and the name of a catalogue's file.
NOT_CONTENT: Final = (*RUN_COLUMNS, "lens_catalog")

#: Columns whose values repeat: texts, short integers and the time, except names of single objects; and the
#: weight, which all rows of a stratum and pool share. Parquet stores them as dictionaries. A dictionary of
#: another column would only cost time.
REPETITIVE: Final = frozenset(
    c.name
    for c in COLUMNS
    if c.type in (_S, _I16, _I32, _TIME) and c.name not in ("galaxy_id", "object_id", "objid")
) | {"sampling_weight"}

#: The order of rows in every pool and manifest file, after the strata's own order.
ROW_ORDER: Final = ("pool", "sampling_priority", "targetid")


def arrow_schema(columns: Iterable[ManifestColumn]) -> pa.Schema:
    """Return the Arrow schema of some columns.

    Parameters
    ----------
    columns : iterable of ManifestColumn
        The columns, in order.

    Returns
    -------
    pyarrow.Schema
        With the unit and the description of each column as the metadata of its field.
    """
    fields = []
    for c in columns:
        metadata = {"description": c.description} | ({"unit": c.unit} if c.unit else {})
        fields.append(pa.field(c.name, c.type, c.nullable, metadata))
    return pa.schema(fields)


#: Schema of the published manifest.
MANIFEST_SCHEMA: Final = arrow_schema(COLUMNS)

#: The same with every column nullable and without metadata, as Spark writes it.
WRITTEN_SCHEMA: Final = pa.schema([f.with_nullable(True).remove_metadata() for f in MANIFEST_SCHEMA])

#: The same with units and descriptions: the schema of the published files.
ANNOTATED_SCHEMA: Final = pa.schema([f.with_nullable(True) for f in MANIFEST_SCHEMA])


def part_schema(part: str, extra: Iterable[str] = ()) -> pa.Schema:
    """Return the schema of the published files of a part.

    Parameters
    ----------
    part : str
        One of ``PARTS``.
    extra : iterable of str
        ``positives.columns`` of the config.

    Returns
    -------
    pyarrow.Schema
        With units and descriptions. The positives have the columns of their lenses after the others.
    """
    return pa.schema([*ANNOTATED_SCHEMA, *(lens_schema(extra) if part == "positives" else ())])


#: The types of the columns in Spark's SQL, by name.
SPARK_TYPES: Final = {
    c.name: {_S: "string", _I16: "smallint", _I32: "int", _I64: "bigint", _F32: "float", _F64: "double"}.get(
        c.type, "timestamp"
    )
    for c in COLUMNS
}

#: Schema of the pool files that the map writes.
POOL_SCHEMA: Final = arrow_schema(c for c in COLUMNS if c.stage == "map")

#: Schema of the positives files that the map writes: each candidate match with its catalogue entry.
POSITIVES_SCHEMA: Final = pa.schema(
    [
        *POOL_SCHEMA,
        pa.field("catalog_row", pa.int64(), nullable=False),
        pa.field("separation_arcsec", pa.float64(), nullable=False),
        pa.field("cut", pa.string()),
    ]
)

#: The columns that selection, pools and the manifest need with any config, by upper-case name.
NEEDED_COLUMNS: Final[tuple[str, ...]] = tuple(
    name
    for name in dict.fromkeys(
        ["RELEASE", "BRICKID", "NOBS_G", "NOBS_R", *(c.sweep for c in COLUMNS if c.sweep)]
    )
    if name not in READ_BY_NEED
)

#: A column that stacked Tractor bricks have and sweep files do not. It is read where it is there.
BRICK_PRIMARY: Final = "BRICK_PRIMARY"

#: What columns are needed for, besides the manifest's columns of the same name.
_NEEDED_FOR: Final = {
    **dict.fromkeys(("RELEASE", "BRICKID", "OBJID", "BRICKNAME"), "the source's unique key"),
    **dict.fromkeys(("RA", "DEC"), "positions: splits, distance from lenses, positives"),
    "TYPE": "types and strata",
    "NOBS_Z": "strata by exposures",
    "FLUX_Z": "the limit of z magnitude",
    "MASKBITS": "masks",
    **dict.fromkeys(("FLUX_G", "FLUX_R", "SHAPE_R", "SHAPE_E1", "SHAPE_E2", "SERSIC"), "criteria of N2"),
    **dict.fromkeys(READ_BY_NEED, "criteria of N2"),
}


def needed_for(column: str) -> str:
    """Return what a needed column of a sweep is needed for.

    Parameters
    ----------
    column : str
        Its upper-case name.

    Returns
    -------
    str
        In a few words.

    Examples
    --------
    >>> needed_for("SERSIC"), needed_for("NOBS_I"), needed_for("EBV")
    ('criteria of N2', 'least exposures', 'columns of the manifest')
    """
    others = "least exposures" if column.startswith("NOBS_") else "columns of the manifest"
    return _NEEDED_FOR.get(column, others)


#: The value of the column ``pool`` in the rows of positives.
POSITIVE: Final = "positive"
