"""No negative near a lens: the search for pairs against the angle between vectors."""

from typing import Any

import numpy as np

from lensneg.audit.lens_checks import near_any


def test_near_any_equals_the_angle_between_vectors_everywhere() -> None:
    rng = np.random.default_rng(3)
    lens_ra = np.concatenate([rng.uniform(0, 360, 300), [0.0, 359.9999, 10.0, 200.0]])
    lens_dec = np.concatenate([rng.uniform(-89, 89, 300), [0.0, 30.0, 90.0, -89.9999]])
    which = rng.integers(0, len(lens_ra), 4_000)
    offset = rng.uniform(0, 22, 4_000) / 3600
    angle = rng.uniform(0, 2 * np.pi, 4_000)
    dec = np.clip(lens_dec[which] + offset * np.sin(angle), -90, 90)
    ra = (lens_ra[which] + offset * np.cos(angle) / np.maximum(np.cos(np.radians(dec)), 1e-6)) % 360

    def vectors(lon: Any, lat: Any) -> Any:
        lon, lat = np.radians(lon), np.radians(lat)
        return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)

    chords = np.linalg.norm(vectors(ra, dec)[:, None] - vectors(lens_ra, lens_dec)[None], axis=-1)
    nearest = np.degrees(2 * np.arcsin(chords.min(axis=1) / 2)) * 3600
    clear = np.abs(nearest - 11) > 1e-6
    found = near_any(ra, dec, lens_ra, lens_dec, 11.0)
    assert 500 < found.sum() < 3_500
    assert (found == (nearest <= 11))[clear].all()


def test_the_radius_itself_is_within_the_radius() -> None:
    """Exactly, where rounding cannot decide: at no distance, for a radius of nothing."""
    ra, dec = np.array([10.0, 0.0, 359.75]), np.array([20.0, -90.0, 0.0])
    assert near_any(ra, dec, ra, dec, 0.0).tolist() == [True, True, True]
    assert near_any(ra, dec, ra, dec + 1e-9, 0.0).tolist() == [False, False, False]
