"""A sweep file in the place of a catalogue is named as such."""

import subprocess
import sys
from pathlib import Path

import pytest
from sweepfile import NAME, write_sweep

from lensneg.catalogs.catalog import read_catalog
from lensneg.errors import CatalogError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.columns import NEEDED_COLUMNS


@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz", "sweep-copy.fits"])
def test_a_file_with_the_name_of_a_sweep_file_is_not_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: what reads it takes hours
    with pytest.raises(CatalogError, match=r"this is a sweep file, not a lens catalogue; .*--sweeps"):
        read_catalog(CatalogSpec.parse(str(path)))


def test_a_table_of_sources_is_no_catalogue_unless_it_names_lenses(tmp_path: Path) -> None:
    path = tmp_path / NAME
    write_sweep(path, [{}, {}])
    renamed = path.rename(tmp_path / "lenses.fits")
    with pytest.raises(CatalogError, match="this is a table of sweep sources, not a lens catalogue"):
        read_catalog(CatalogSpec.parse(str(renamed)))
    assert len(read_catalog(CatalogSpec.parse(f"{renamed}?name=BRICKNAME")).ra) == 2
    joined = tmp_path / "joined.csv"
    joined.write_text(
        ",".join([*NEEDED_COLUMNS, "grade"]) + "\n" + ",".join(["1"] * len(NEEDED_COLUMNS)) + ",A\n"
    )
    assert read_catalog(CatalogSpec.parse(str(joined))).grades == ["A"]


REFUSED = """
import sys
from lensneg.cli import main
try:
    main()
except SystemExit as end:
    slow = sorted({"astropy", "healpy", "matplotlib", "moto", "pandas", "pyspark"} & sys.modules.keys())
    print(end.code, *slow)
"""


def test_a_wrong_kind_is_refused_before_what_is_slow_to_import(tmp_path: Path) -> None:
    """Each of these packages takes a tenth of a second and more."""
    path = tmp_path / NAME
    write_sweep(path, [{}])
    inputs = ("--config", "negative_sampling_v1", "--sweeps", str(tmp_path), "--positives", str(path))
    command = [sys.executable, "-c", REFUSED, "run", *inputs, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "this is a sweep file, not a lens catalogue" in done.stderr
    assert done.stdout.split() == ["2"]
