"""What PlanFanOut makes of catalogues: a lens that is no positive is still a lens."""

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pipeline import make_request
from plainrun import run_map

from lensneg.schema.request import RunRequest
from lensneg.schema.run import load_run


def nearest_arcsec(rows: list[tuple[float, float]], lenses: list[tuple[float, float]]) -> np.ndarray:
    """The distance of each row from the nearest lens, by brute force."""

    def vectors(positions: list[tuple[float, float]]) -> np.ndarray:
        ra, dec = np.radians(np.array(positions)).T
        return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)

    a, b = vectors(rows), vectors(lenses)
    chord = np.min([np.linalg.norm(a - lens, axis=1) for lens in b], axis=0)
    return np.degrees(2 * np.arcsin(chord / 2)) * 3600


@pytest.mark.parametrize("others", ["", "&others=ignore"])
def test_rows_that_are_not_selected_as_positives_are_excluded(
    gate_sky: Path, tmp_path: Path, others: str
) -> None:
    request = make_request(gate_sky, gate_sky / "config.yaml", tmp_path, "one", "test")
    spec = f"{gate_sky / 'positives.csv'}?where.grading=confident{others}"
    request = RunRequest.of_input(request.as_input() | {"positives": [spec]})
    files = run_map(request)
    with (gate_sky / "positives.csv").open() as file:
        rows = list(csv.DictReader(file))
    place = {grade: [(float(r["ra"]), float(r["dec"])) for r in rows if r["grading"] == grade]
             for grade in ("confident", "probable")}  # fmt: skip
    pool = pq.read_table(files.pool_folder, columns=["ra", "dec"]).to_pydict()
    pool_rows = list(zip(pool["ra"], pool["dec"], strict=True))
    assert nearest_arcsec(pool_rows, place["confident"]).min() > 11
    assert (nearest_arcsec(pool_rows, place["probable"]).min() > 11) == (not others)

    run = load_run(files.root)
    lenses, [catalog] = run.lenses, run.record.catalogs
    assert sorted(zip(lenses.ra[lenses.is_positive], lenses.dec[lenses.is_positive], strict=True)) == sorted(
        place["confident"]
    )
    assert catalog.positions == len(place["confident"])
    assert catalog.others == (0 if others else len(place["probable"]))
    assert len(lenses) == catalog.positions + catalog.others
    said = Path(files.gate(1)).read_text()
    assert (f"excluded as known lenses: {len(place['probable'])}" in said) == (not others)
