"""Listings of sweep files, with sizes and without."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from costcase import whole_files

from lensneg import storage
from lensneg.cost.listing import list_release, list_sweeps, parse_listing
from lensneg.cost.model import estimate, not_included
from lensneg.cost.tables import RatesFile, load_rates
from lensneg.errors import InputError
from lensneg.schema.config import Config


@pytest.fixture(scope="module")
def known() -> RatesFile:
    """The published rates."""
    return load_rates()


def test_a_listing_of_names_takes_known_and_mean_sizes(known: RatesFile) -> None:
    text = """
    # a comment
    sweep-000m005-005p000.fits
    sweep-005m005-010p000.fits
    10.1/sweep-010m005-015p000.fits   1010046080

    sweep-010m005-015p000-pz.fits
    legacysurvey_dr10_south_sweep_10.1.sha256sum
    """
    listing = parse_listing(text, "names", known)
    assert [s.uri for s in listing.sweeps] == [f"sweep-0{r}.fits" for r in (
        "00m005-005p000", "05m005-010p000", "10m005-015p000"
    )]  # fmt: skip
    assert (listing.source, listing.modelled, listing.ignored) == ("names", 2, 2)
    first, second, third = listing.sweeps
    assert first.size == 1_865_471_040
    assert third.rows == (1_010_046_080 - 16 * 2880) // 505
    assert listing.bytes == first.size + second.size + third.size
    assert listing.rows == first.rows + second.rows + third.rows


def test_the_size_of_other_files_is_what_the_survey_leaves_for_them(known: RatesFile) -> None:
    # dr10-facts: 1,436 files; catalogue totals: 2,827,055,986 rows of 505 bytes.
    rows = 2_827_055_986 - sum((size - 16 * 2880) // 505 for size in known.sweeps.known_bytes.values())
    mean = rows // (1436 - len(known.sweeps.known_bytes))
    assert known.sweeps.other_bytes == mean * 505 + 16 * 2880
    [other] = parse_listing("sweep-005m005-010p000.fits", "names", known).sweeps
    assert (other.size, other.rows) == (known.sweeps.other_bytes, mean)


def test_a_gzipped_file_is_one_item_and_smaller(known: RatesFile, plan: Config) -> None:
    plain = parse_listing("sweep-005m005-010p000.fits", "names", known)
    packed = parse_listing("sweep-005m005-010p000.fits.gz", "names", known)
    assert packed.rows == plain.rows
    assert packed.bytes == pytest.approx(plain.bytes * 0.6, rel=1e-6)
    run = whole_files((), config=plan)
    assert len(replace(run, listing=plain).items) == 14  # 947 MiB in slices of 64 MiB at least
    [item] = replace(run, listing=packed).items
    assert (item.n_bytes, item.n_rows) == (packed.bytes, packed.rows)
    sized = parse_listing(f"sweep-005m005-010p000.fits.gz {packed.bytes}", "names", known)
    assert sized.rows == pytest.approx(plain.rows, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names.txt: no sweep file among 0 entries"),
        ("readme.txt\n", "no sweep file among 1 entries; give names like sweep-AAAcBBB-DDDcEEE.fits"),
        (
            "sweep-000m005-005p000.fits big",
            "names.txt, line 1: got 'sweep-000m005-005p000.fits big'; expected NAME",
        ),
        ("\nsweep-000m005-005p000.fits 0", "line 2: got 'sweep-000m005-005p000.fits 0'"),
        ("sweep-000m005-005p000.fits -5", "give BYTES as a whole number"),
        ("sweep-000m005-005p000.fits 1e9", "give BYTES as a whole number"),
        ("sweep-000m005-005p000.fits " + "9" * 5000, "expected NAME or NAME BYTES"),
        ("sweep-000m005-005p000.fits 1 GB", "expected NAME or NAME BYTES"),
        ("sweep-000m005-005p000.fits\nsweep-000m005-005p000.fits.gz", "its cell of the sky is listed twice"),
    ],
)
def test_a_listing_with_faults_is_refused(known: RatesFile, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_listing(text, "names.txt", known)


def test_sweeps_are_listed_from_a_folder_and_from_s3(known: RatesFile, tmp_path: Path, s3: str) -> None:
    content = {
        "sweep-000m005-005p000.fits": 60_000, "sweep-005m005-010p000.fits": 90_000, "my notes.txt": 3,
        "sweep-010m005-015p000.fits": 0,
    }  # fmt: skip
    for name, n_bytes in content.items():
        (tmp_path / name).write_bytes(bytes(n_bytes))
        storage.write_bytes(f"{s3}/dr10/{name}", bytes(n_bytes))
    for uri in (str(tmp_path), f"{s3}/dr10"):
        listing = list_sweeps(uri, known)
        assert [s.size for s in listing.sweeps] == [60_000, 90_000, 0]
        assert [s.rows for s in listing.sweeps] == [(60_000 - 46_080) // 505, (90_000 - 46_080) // 505, 0]
        assert (listing.modelled, listing.ignored) == (0, 1)


def test_the_estimate_of_a_size_follows_the_cell(known: RatesFile) -> None:
    """A cell of DR9 is twice as wide as one of DR10.1, whose mean file has 993,393,705 bytes."""
    [wide] = parse_listing("sweep-000m005-010p000.fits", "names", known).sweeps
    assert wide.size == 2 * 993_393_705


def test_the_release_adds_up_to_the_survey(known: RatesFile) -> None:
    listing = list_release(known)
    assert (listing.source, len(listing.sweeps), listing.ignored) == ("DR10.1", 1436, 0)
    assert listing.rows == pytest.approx(2_827_055_986, rel=1e-6)
    assert listing.bytes == pytest.approx(2_827_055_986 * 505, rel=1e-4)


def test_the_dr10_listing_adds_up_to_the_survey(
    shared_data: Callable[[str], Path], known: RatesFile, plan: Config
) -> None:
    listing = parse_listing(shared_data("dr10.1_sweep_names.txt").read_text(), "names", known)
    assert listing.sweeps == list_release(known).sweeps
    run = whole_files((), listing=listing, config=plan, positives=5000)
    assert len(run.items) == 1436
    extras = {extra.name: extra.usd for extra in not_included(run)}
    assert extras["sweeps in S3, a month"] == pytest.approx(1.428e12 / 2**30 * 0.023, rel=1e-3)
    assert 0 < extras["mini-test"] < estimate(run).usd


def test_a_listing_is_in_order(known: RatesFile) -> None:
    listing = parse_listing("sweep-005m005-010p000.fits\nsweep-000m005-005p000.fits", "names", known)
    assert [s.uri for s in listing.sweeps] == ["sweep-000m005-005p000.fits", "sweep-005m005-010p000.fits"]
