"""The split: the facts' vectors, the rule once more, and what it may not depend on."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference

from lensneg.rules.split import split_of_pixel
from lensneg.schema.config import Config

# Pixel at nside 128, u, split: the facts' vectors for seed 42.
VECTORS = [
    (107657, 0.032008, "train"),
    (77824, 0.228095, "train"),
    (185621, 0.089973, "train"),
    (114444, 0.950653, "test"),
    (131072, 0.046819, "train"),
]


@pytest.mark.parametrize(("pixel", "u", "split"), VECTORS)
def test_vectors_of_the_split(plan: Config, pixel: int, u: float, split: str) -> None:
    assert split_of_pixel(np.array([pixel]), plan.spatial_splits).tolist() == [split]
    assert reference.split_number(pixel, 42) == pytest.approx(u, abs=5e-7)


def test_fractions_of_the_split_over_the_sky(plan: Config) -> None:
    splits = split_of_pixel(np.arange(12 * 128 * 128), plan.spatial_splits)
    assert len(splits) == 196_608
    fractions = {name: float(np.mean(splits == name)) for name in ("train", "val", "test")}
    assert fractions == pytest.approx({"train": 0.70023, "val": 0.14970, "test": 0.15007}, abs=5e-6)


def test_every_pixel_has_the_split_of_the_rule(plan: Config) -> None:
    random = np.random.default_rng(2).integers(0, 196_608, 2000)
    for pixel, found in zip(random, split_of_pixel(random, plan.spatial_splits), strict=True):
        u = int(hashlib.sha256(f"{pixel}_42".encode()).hexdigest()[:8], 16) / 2**32
        assert found == ("train" if u < 0.70 else "val" if u < 0.85 else "test")


def test_train_and_test_are_not_swapped(plan_with: Any) -> None:
    config = plan_with({"spatial_splits.allocations": {"test": 0.0, "train": 0.999, "val": 0.001}})
    names, counts = np.unique(split_of_pixel(np.arange(5000), config.spatial_splits), return_counts=True)
    assert names.tolist() == ["train", "val"]
    assert counts[0] > 4950


def test_the_order_of_the_fractions_in_the_file_does_not_matter(plan: Config, plan_with: Any) -> None:
    config = plan_with({"spatial_splits.allocations": {"test": 0.15, "val": 0.15, "train": 0.70}})
    pixel = np.arange(3000)
    assert (
        split_of_pixel(pixel, config.spatial_splits).tolist()
        == split_of_pixel(pixel, plan.spatial_splits).tolist()
    )


@pytest.mark.parametrize("only", ["train", "val", "test"])
def test_one_split_can_have_the_whole_sky(plan_with: Any, only: str) -> None:
    fractions = {"train": 0.0, "val": 0.0, "test": 0.0} | {only: 1.0}
    config = plan_with({"spatial_splits.allocations": fractions})
    assert set(split_of_pixel(np.arange(3000), config.spatial_splits).tolist()) == {only}


def test_another_seed_makes_another_split(plan: Config, plan_with: Any) -> None:
    pixel = np.arange(3000)
    other = split_of_pixel(pixel, plan_with({"spatial_splits.hash_seed": 43}).spatial_splits)
    # Two independent splits agree in 0.7^2 + 2 x 0.15^2 = 53.5 % of pixels.
    assert np.mean(other == split_of_pixel(pixel, plan.spatial_splits)) == pytest.approx(0.535, abs=0.05)


def test_a_split_begins_with_the_fraction_at_which_the_one_before_it_ends(plan_with: Any) -> None:
    """u is a multiple of 2^-32, and so a fraction can be the u of a pixel."""
    u = int(hashlib.sha256(b"107657_42").hexdigest()[:8], 16) / 2**32
    for train, expected in ((u, "val"), (u + 2**-32, "train"), (u - 2**-32, "val")):
        config = plan_with({"spatial_splits.allocations": {"train": train, "val": 1 - train, "test": 0.0}})
        assert split_of_pixel(np.array([107657]), config.spatial_splits).tolist() == [expected]


def test_split_of_no_pixels(plan: Config) -> None:
    assert split_of_pixel(np.array([], dtype=np.int64), plan.spatial_splits).tolist() == []


def test_the_documented_share_of_cutouts_that_cross_an_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pixel is a diamond 1,649" wide: a square of side a crosses it in 2 a sqrt(2) / 1649 of cases."""
    docs = Path(__file__).parents[2] / "docs"
    monkeypatch.syspath_prepend(str(docs))
    from split_edges import crossings

    pixel, split = crossings(20_000)
    assert pixel == pytest.approx(2 * 26.5 * 2**0.5 / 1649, abs=0.006)
    assert split == pytest.approx(0.021, abs=0.004)
    text = (docs / "science.md").read_text()
    assert "into another pixel in 4.5 % of cases" in text
    assert "into another split in 2.1 %" in text
