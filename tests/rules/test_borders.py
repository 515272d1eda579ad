"""Which sources have a pixel of another split near them, against circles that are seen point by point."""

from collections.abc import Callable
from typing import Any

import healpy
import numpy as np
import pytest
import reference

from lensneg.rules.borders import MARGIN_ARCSEC, near_border
from lensneg.schema.config import Config, SpatialSplitsConfig

Places = tuple[np.ndarray, np.ndarray]

THIRDS = {"train": 0.70, "val": 0.15, "test": 0.15}

#: What the circles' points may miss, and what chords may be off at a pole, in arcseconds.
SLACK = 0.1

SIZE = 20_000


def rule(radius: float, **changes: Any) -> SpatialSplitsConfig:
    values = {"nside": 128, "hash_seed": 42, "allocations": THIRDS, "border_arcsec": radius}
    return SpatialSplitsConfig.model_validate(values | changes)


def touches(ra: np.ndarray, dec: np.ndarray, config: SpatialSplitsConfig, radius: float) -> np.ndarray:
    """Whether one of 180 points at a radius is in another split."""
    lon, lat = np.radians(ra), np.radians(dec)
    here = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    east = np.stack([-np.sin(lon), np.cos(lon), 0 * lon])
    north = np.cross(here.T, east.T).T
    known: dict[int, int] = {}

    def splits(pixels: np.ndarray) -> np.ndarray:
        for pixel in set(pixels.tolist()) - known.keys():
            known[pixel] = ["train", "val", "test"].index(
                reference.split_of_pixel(pixel, config.model_dump())
            )
        return np.array([known[pixel] for pixel in pixels.tolist()])

    own_pixel = healpy.ang2pix(128, ra, dec, nest=True, lonlat=True)
    own, found, angle = splits(own_pixel), np.zeros(len(ra), dtype=bool), np.radians(radius / 3600)
    for turn in np.radians(np.arange(0, 360, 2)):
        point = np.cos(angle) * here + np.sin(angle) * (np.cos(turn) * east + np.sin(turn) * north)
        pixels = healpy.vec2pix(128, *point, nest=True)
        (other,) = np.nonzero(pixels != own_pixel)
        found[other] |= splits(pixels[other]) != own[other]
    return found


def sphere(rng: np.random.Generator) -> Places:
    return rng.uniform(0, 360, SIZE), np.degrees(np.arcsin(rng.uniform(-1, 1, SIZE)))


def poles(rng: np.random.Generator) -> Places:
    return rng.uniform(0, 360, SIZE), rng.choice([-1, 1], SIZE) * (90 - rng.uniform(0, 1.2, SIZE))


def zones_meet(rng: np.random.Generator) -> Places:
    """Where HEALPix's polar caps begin."""
    at = rng.choice([-1, 1], SIZE) * np.degrees(np.arcsin(2 / 3))
    return rng.uniform(0, 360, SIZE), at + rng.uniform(-0.2, 0.2, SIZE)


def ra_begins(rng: np.random.Generator) -> Places:
    return rng.uniform(-0.3, 0.3, SIZE) % 360, rng.uniform(-30, 30, SIZE)


def corners(rng: np.random.Generator) -> Places:
    """Within 40 arcseconds of corners of pixels, those where only seven meet among them."""
    eight = healpy.get_all_neighbours(128, np.arange(12 * 128**2), nest=True).min(axis=0) >= 0
    pixels = np.concatenate([rng.integers(0, 12 * 128**2, SIZE // 2), np.flatnonzero(~eight)])
    pixels = rng.choice(pixels, SIZE)
    vectors = healpy.boundaries(128, pixels, nest=True)[np.arange(SIZE), :, rng.integers(0, 4, SIZE)]
    vectors += rng.uniform(-1, 1, (SIZE, 3)) * np.radians(40 / 3600)
    return healpy.vec2ang(vectors, lonlat=True)


@pytest.mark.parametrize("radius", [3.0, 19.0])
@pytest.mark.parametrize("where", [sphere, poles, zones_meet, ra_begins, corners])
def test_sources_near_a_border_are_those_whose_circle_enters_another_split(
    where: Callable[[np.random.Generator], Places], radius: float
) -> None:
    config = rule(radius)
    ra, dec = where(np.random.default_rng(5))
    found = near_border(ra, dec, config)
    assert not (touches(ra, dec, config, radius) & ~found).any()
    # Two degrees of a circle may hide the tip of a pixel, of 57 degrees at least.
    slack = SLACK + (radius * 0.035 if where is corners else 0.0)
    assert not (found & ~touches(ra, dec, config, radius + MARGIN_ARCSEC + slack)).any()
    assert 10 < found.sum() < SIZE - 10


def test_the_widest_radius_of_a_config() -> None:
    """10 arcminutes; the narrowest pixel has 18."""
    config = rule(600.0)
    ra, dec = (column[:2_000] for column in sphere(np.random.default_rng(6)))
    assert not (touches(ra, dec, config, 600.0) & ~near_border(ra, dec, config)).any()


def test_without_a_radius_nothing_is_near(plan: Config) -> None:
    ra, dec = corners(np.random.default_rng(7))
    assert plan.spatial_splits.border_arcsec == 0
    assert not near_border(ra, dec, plan.spatial_splits).any()
    assert len(near_border(np.empty(0), np.empty(0), rule(19.0))) == 0


def test_seed_and_fractions_decide_which_edges_are_borders() -> None:
    ra, dec = sphere(np.random.default_rng(8))
    one = rule(19.0, allocations={"train": 1.0, "val": 0.0, "test": 0.0})
    assert not near_border(ra, dec, one).any()
    first, second = (near_border(ra, dec, rule(19.0, hash_seed=seed)) for seed in (42, 43))
    assert (first != second).sum() > 100


def test_circles_of_kept_sources_of_different_splits_do_not_touch() -> None:
    """In a crowded field: of all pairs, by brute force."""
    config, rng = rule(60.0), np.random.default_rng(9)
    ra, dec = rng.uniform(165.0, 166.0, 3_000), rng.uniform(-6.5, -5.5, 3_000)
    (kept,) = np.nonzero(~near_border(ra, dec, config))
    splits = np.array(
        [reference.split_of(*place, config.model_dump()) for place in zip(ra, dec, strict=True)]
    )

    def nearest(rows: np.ndarray) -> float:
        ra_rad, dec_rad = np.radians(ra[rows]), np.radians(dec[rows])
        vectors = np.stack(
            [np.cos(dec_rad) * np.cos(ra_rad), np.cos(dec_rad) * np.sin(ra_rad), np.sin(dec_rad)], 1
        )
        chord = np.linalg.norm(vectors[:, None] - vectors, axis=2)
        chord[splits[rows][:, None] == splits[rows]] = np.inf
        return float(np.degrees(2 * np.arcsin(chord.min() / 2)) * 3600)

    assert nearest(kept) > 120.0
    assert nearest(np.arange(len(ra))) < 20.0


@pytest.mark.parametrize("dec", [-6.04226, -5.776])
def test_the_reference_agrees(dec: float) -> None:
    config = rule(19.0)
    found = near_border(np.array([165.4754]), np.array([dec]), config)
    assert found.tolist() == [reference.at_border(165.4754, dec, config.model_dump())]
