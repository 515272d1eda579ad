"""The sky: pixels against HEALPix's published algorithm, distances, and neighbours by force."""

import ast
import inspect
import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from sphere import offset

from lensneg.catalogs.catalog import read_catalog
from lensneg.rules import sky
from lensneg.rules.sky import PositionIndex, healpix_pixel, separation_arcsec, unit_vectors
from lensneg.schema.catalog_spec import CatalogSpec

# RA, Dec, pixel at nside 128, pixel at nside 64: the facts' vectors.
VECTORS = [
    (165.4754, -6.04226, 107657, 26914),
    (0.0, 0.0, 77824, 19456),
    (359.999, -45.0, 185621, 46405),
    (180.0, 31.999, 114444, 28611),
    (10.0, -89.9, 131072, 32768),
]


def pixels(nside: int, *positions: tuple[float, float]) -> list[int]:
    ra, dec = np.array(positions, dtype=np.float64).T
    return healpix_pixel(nside, ra, dec).tolist()


# ---------------------------------------------------------------- pixels


@pytest.mark.parametrize(("ra", "dec", "pixel128", "pixel64"), VECTORS)
def test_pixels_of_the_facts(ra: float, dec: float, pixel128: int, pixel64: int) -> None:
    assert pixels(128, (ra, dec)) == [pixel128]
    assert pixels(64, (ra, dec)) == [pixel64]


@pytest.mark.parametrize(
    ("faces", "first_ra", "dec"), [((0, 1, 2, 3), 45, 41), ((4, 5, 6, 7), 0, 0), ((8, 9, 10, 11), 45, -41)]
)
def test_the_twelve_base_pixels_are_where_healpix_has_them(
    faces: tuple[int, ...], first_ra: float, dec: float
) -> None:
    assert pixels(1, *((first_ra + 90 * quarter, dec) for quarter in range(4))) == list(faces)


def ang2pix_nest(nside: int, ra: float, dec: float) -> int:
    """NESTED pixel by the formulae of Gorski et al. 2005 (doi:10.1086/427976), sections 4.1 and 4.2."""
    z = math.sin(math.radians(dec))
    tt = (ra % 360) / 90  # longitude in quarter turns, 0 to 4
    if abs(z) <= 2 / 3:
        rising = math.floor(nside * (0.5 + tt - 0.75 * z))
        falling = math.floor(nside * (0.5 + tt + 0.75 * z))
        face_r, face_f = rising // nside, falling // nside
        if face_r == face_f:
            face = face_f % 4 + 4  # on the equator
        elif face_r < face_f:
            face = face_r % 4
        else:
            face = face_f % 4 + 8
        x, y = falling % nside, nside - rising % nside - 1
    else:
        quarter = min(3, math.floor(tt))
        part = tt - quarter
        scale = nside * math.sqrt(3 * (1 - abs(z)))
        rising = min(nside - 1, math.floor(part * scale))
        falling = min(nside - 1, math.floor((1 - part) * scale))
        if z > 0:
            face, x, y = quarter, nside - falling - 1, nside - rising - 1
        else:
            face, x, y = quarter + 8, rising, falling
    interleaved = sum(((x >> b & 1) << 2 * b) | ((y >> b & 1) << (2 * b + 1)) for b in range(32))
    return face * nside * nside + interleaved


RA = st.floats(0, 360, exclude_max=True, allow_subnormal=False)
DEC = st.floats(-89, 89, allow_subnormal=False)


@given(RA, DEC, st.sampled_from([1, 64, 128]))
def test_pixels_are_healpix_nested(ra: float, dec: float, nside: int) -> None:
    # On the edge of a pixel rounding decides; so the test is of a position and of its surroundings.
    shifts = (0.0, 1e-9, -1e-9)
    around = {ang2pix_nest(nside, ra + a, dec + b) for a in shifts for b in shifts}
    found = pixels(nside, (ra, dec))[0]
    assert found in around


def test_pixels_are_healpix_nested_over_the_sky() -> None:
    random = np.random.default_rng(1)
    ra, dec = random.uniform(0, 360, 3000), np.degrees(np.arcsin(random.uniform(-1, 1, 3000)))
    for nside in (64, 128):
        expected = [ang2pix_nest(nside, *position) for position in zip(ra, dec, strict=True)]
        assert healpix_pixel(nside, ra, dec).tolist() == expected


@given(RA, DEC)
def test_a_pixel_at_nside_64_holds_four_at_nside_128(ra: float, dec: float) -> None:
    assert pixels(64, (ra, dec))[0] == pixels(128, (ra, dec))[0] // 4


def test_right_ascension_has_no_edge() -> None:
    assert pixels(128, (0.0, 12.3)) == pixels(128, (360.0, 12.3))
    assert pixels(128, (-0.5, 12.3)) == pixels(128, (359.5, 12.3))


def test_nothing_stands_in_for_healpix() -> None:
    """Without healpy the package does not work at all, and Python's hash() is nowhere in it."""
    use = "from lensneg.rules.sky import healpix_pixel; healpix_pixel(64, 0.0, 0.0)"
    without = f"import sys; sys.modules['healpy'] = None; {use}"
    result = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True)
    assert "import of healpy halted" in result.stderr
    for path in Path(inspect.getfile(sky)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Name) and node.id == "hash"), f"{path}: {node.lineno}"


# ---------------------------------------------------------------- distances


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0), (0, 0), 0.0),
        ((359.999, 0), (0.001, 0), 7.2),
        ((0, 89.999), (180, 89.999), 7.2),
        ((10, 60), (10 + 2 / 3600, 60), 1.0),  # cos 60 = 1/2
        ((10, -5), (10, -5 + 11 / 3600), 11.0),
        ((0, 0), (180, 0), 180 * 3600.0),
        ((0, 90), (123, -90), 180 * 3600.0),
    ],
)
def test_separation(a: tuple[float, float], b: tuple[float, float], expected: float) -> None:
    va, vb = (unit_vectors(np.array([ra]), np.array([dec])) for ra, dec in (a, b))
    assert separation_arcsec(va, vb)[0] == pytest.approx(expected, abs=1e-6)


def test_antipodes_are_half_a_turn_apart() -> None:
    """Also where rounding makes a chord longer than the diameter."""
    random = np.random.default_rng(6)
    vectors = unit_vectors(random.uniform(0, 360, 2000), random.uniform(-90, 90, 2000))
    assert (np.sqrt(((2 * vectors) ** 2).sum(axis=1)) > 2).any()
    assert separation_arcsec(vectors, -vectors) == pytest.approx(180 * 3600, abs=0.02)


@given(RA, st.floats(-90, 90), RA, st.floats(-90, 90))
def test_separation_agrees_with_the_haversine_formula(
    ra1: float, dec1: float, ra2: float, dec2: float
) -> None:
    va, vb = (unit_vectors(np.array([r]), np.array([d])) for r, d in ((ra1, dec1), (ra2, dec2)))
    expected = reference.separation(ra1, dec1, ra2, dec2)
    # Next to the antipode both lose precision; no one looks for pairs there.
    assert separation_arcsec(va, vb)[0] == pytest.approx(expected, rel=1e-9, abs=1e-2)


# ---------------------------------------------------------------- neighbours


def pairs(
    sources: list[tuple[float, float]], lenses: list[tuple[float, float]], radius: float
) -> dict[tuple[int, int], float]:
    """Pairs that the index finds, with their separations; checked to be in order."""
    index = PositionIndex(*(np.array(c, dtype=np.float64) for c in zip(*lenses, strict=True)), radius)
    found = index.pairs(*(np.array(c, dtype=np.float64) for c in zip(*sources, strict=True)))
    keys = list(zip(found.source.tolist(), found.position.tolist(), strict=True))
    assert keys == sorted(set(keys))
    return dict(zip(keys, found.separation_arcsec.tolist(), strict=True))


# Places where an index could go wrong: RA 0/360, both poles, edges of declination bands.
LENS_RA = st.one_of(RA, st.sampled_from([0.0, 1e-6, 359.999999, 180.0, 45.0]))
LENS_DEC = st.one_of(
    st.floats(-90, 90), st.sampled_from([90.0, -90.0, 89.9999, -89.9999, 89.99, 0.0, 41.8103149])
)
LENSES = st.lists(st.tuples(LENS_RA, LENS_DEC), min_size=1, max_size=12)
RADII = st.sampled_from([1.5, 11.0, 3600.0])


@given(
    LENSES,
    st.lists(st.tuples(st.integers(0, 11), st.floats(0, 360), st.floats(0, 25))),
    st.sampled_from([1.5, 11.0]),
)
def test_pairs_are_those_that_brute_force_finds(
    lenses: list[tuple[float, float]], around: list[tuple[int, float, float]], radius: float
) -> None:
    """Sources 0 to 25 arcsec around the lenses: the haversine formula decides which are pairs."""
    sources = [offset(*lenses[i % len(lenses)], angle, far) for i, angle, far in around]
    sources.append((12.0, 34.0))
    found = pairs(sources, lenses, radius)
    for s, source in enumerate(sources):
        for p, lens in enumerate(lenses):
            distance = reference.separation(*source, *lens)
            if distance <= radius - 1e-6:
                assert found[s, p] == pytest.approx(distance, abs=1e-6)
            elif distance > radius + 1e-6:
                assert (s, p) not in found


@given(LENS_RA, LENS_DEC, st.floats(0, 360), RADII)
def test_a_ten_thousandth_of_an_arcsecond_decides(ra: float, dec: float, angle: float, radius: float) -> None:
    inside, outside = offset(ra, dec, angle, radius - 1e-4), offset(ra, dec, angle, radius + 1e-4)
    assert list(pairs([inside, outside], [(ra, dec)], radius)) == [(0, 0)]


@pytest.mark.parametrize("radius", [0.1, 1.5, 11.0, 60.0, 600.0, 3600.0])
def test_pairs_in_a_crowd(radius: float) -> None:
    """Many lenses and sources close together, for radii from a pixel to a degree."""
    random = np.random.default_rng(3)
    for ra, dec in ((0.0, 0.0), (77.0, 90.0), (359.9, -66.6)):
        lenses = [offset(ra, dec, *random.uniform((0, 0), (360, 5 * radius)).tolist()) for _ in range(100)]
        sources = [offset(ra, dec, *random.uniform((0, 0), (360, 6 * radius)).tolist()) for _ in range(150)]
        expected = {
            (s, p)
            for s, source in enumerate(sources)
            for p, lens in enumerate(lenses)
            if reference.separation(*source, *lens) <= radius
        }
        assert len(expected) > 100
        assert set(pairs(sources, lenses, radius)) == expected


def test_pairs_over_the_whole_sky() -> None:
    """3,000 lenses over all the sky, and a source at 10.9 and at 11.1 arcsec of each."""
    random = np.random.default_rng(4)
    dec = np.degrees(np.arcsin(random.uniform(-1, 1, 3000)))
    lenses = list(zip(random.uniform(0, 360, 3000).tolist(), dec.tolist(), strict=True))
    angles = random.uniform(0, 360, 3000)
    near = [offset(*lens, angle, 10.9) for lens, angle in zip(lenses, angles, strict=True)]
    far = [offset(*lens, angle, 11.1) for lens, angle in zip(lenses, angles, strict=True)]
    found = pairs(near + far, lenses, 11.0)
    assert {(i, i) for i in range(3000)} <= set(found)
    assert not {(i + 3000, i) for i in range(3000)} & set(found)


def test_the_sieve_by_declination_loses_no_pair() -> None:
    lenses = [(10.0, -30.0), (10.0, 0.0), (10.0, 0.01), (10.0, 34.0)]
    for radius in (1.5, 11.0):
        ra, dec = np.array(lenses).T
        index = PositionIndex(ra, dec, radius)
        for _, lens_dec in lenses:
            decs = lens_dec + np.linspace(-radius, radius, 101) / 3600
            assert index.near(np.full(101, 10.0), decs).tolist() == list(range(101))


def test_the_sieve_by_declination_sieves() -> None:
    index = PositionIndex(np.array([10.0, 10.0]), np.array([-2.0, 2.0]), 11.0)
    far = np.array([-90.0, -2.1, -1.0, 0.0, 1.0, 2.1, 90.0])
    assert index.near(np.full(7, 10.0), far).tolist() == []


def test_the_sieve_loses_no_pair() -> None:
    """Circles at every right ascension, wherever a grid may begin, and around both poles."""
    lenses = [(half / 2, dec) for half in range(720) for dec in (-90.0, -89.9985, -60.0, 0.0, 89.9)]
    angles = (0.0, 45.0, 90.0, 180.0, 270.0)
    for some in (lenses, lenses[:50], lenses[-50:] + lenses[:50], lenses[1800:1900]):
        index = PositionIndex(*np.array(some).T, 11.0)
        sources = [offset(*lens, angle, 10.999) for lens in some for angle in angles]
        assert len(index.near(*np.array(sources).T)) == len(sources)


def test_the_sieve_sieves() -> None:
    index = PositionIndex(np.array([359.9, 0.1]), np.array([-2.0, 2.0]), 11.0)
    far = np.array([(359.9, -1.9), (359.9, 2.0), (0.1, -2.0), (0.0, 0.0), (180.0, 2.0), (0.1, 90.0)])
    assert index.near(*far.T).tolist() == []
    assert index.near(np.array([359.9, 0.1]), np.array([-2.0, 2.0])).tolist() == [0, 1]


def test_a_source_in_the_band_of_a_lens_is_sieved_also_where_it_is_the_only_one() -> None:
    index = PositionIndex(np.array([10.0]), np.array([2.0]), 11.0)
    for ra, expected in ((10.0, [0]), (190.0, []), (11.0, [])):
        assert index.near(np.array([ra]), np.array([2.0])).tolist() == expected


@pytest.mark.parametrize("beyond", [-5e-7, 0.0, 5e-7])
@pytest.mark.parametrize("pole", [-90.0, 90.0])
def test_a_circle_that_all_but_touches_a_pole(pole: float, beyond: float) -> None:
    """There a meridian touches it hardly or not at all, and what is around the pole pairs in any case."""
    lens = (77.0, np.sign(pole) * (90 - 11 / 3600 + beyond))
    sources = [offset(*lens, angle / 2, 10.999) for angle in range(720)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(pairs(sources, [lens], 11.0)) == [(i, 0) for i in range(720)]


def test_a_lens_at_a_pole_and_sources_without_position_are_no_cause_for_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index = PositionIndex(np.array([0.0, 10.0]), np.array([90.0, -90.0]), 11.0)
        ra, dec = np.array([5.0, np.nan, 7.0, np.nan]), np.array([-90.0, np.nan, np.nan, 90.0])
        assert index.pairs(ra, dec).source.tolist() == [0]
        assert 0 in index.near(ra, dec).tolist()


@pytest.mark.parametrize("turn", [-720.0, -360.0, 0.0, 360.0])
def test_right_ascension_is_an_angle(turn: float) -> None:
    """A damaged row's position is still compared: what it is refused for is not for the index to say."""
    lenses = [(0.0, 5.0), (359.9, 5.0), (90.0, 5.0), (200.0, 5.0)]
    assert list(pairs([(ra + turn, dec) for ra, dec in lenses], lenses, 1.5)) == [(i, i) for i in range(4)]


def test_sources_without_position_pair_with_nothing() -> None:
    index = PositionIndex(np.array([10.0]), np.array([20.0]), 11.0)
    ra = np.array([10.0, np.nan, 10.0, np.nan, np.inf])
    dec = np.array([20.0, 20.0, np.nan, np.nan, 20.0])
    assert index.pairs(ra, dec).source.tolist() == [0]


@pytest.mark.parametrize(("lenses", "sources"), [(0, 0), (0, 3), (3, 0)])
def test_no_lenses_or_no_sources(lenses: int, sources: int) -> None:
    index = PositionIndex(np.zeros(lenses), np.zeros(lenses), 11.0)
    found = index.pairs(np.zeros(sources), np.zeros(sources))
    assert [len(array) for array in found] == [0, 0, 0]
    # Empty arrays of indices, and so indices themselves.
    assert found.source.dtype == found.position.dtype == np.int64
    assert index.near(np.zeros(sources), np.zeros(sources)).dtype == np.int64


def test_the_radius_itself_is_within_the_radius() -> None:
    """Exactly, where rounding cannot decide: at no distance, for a radius of nothing."""
    places = [(10.0, 20.0), (0.0, -90.0), (359.75, 0.0)]
    assert pairs(places, places, 0.0) == {(0, 0): 0.0, (1, 1): 0.0, (2, 2): 0.0}


def test_two_lenses_at_one_place_both_pair() -> None:
    assert set(pairs([(10.0, 20.0)], [(10.0, 20.0), (10.0, 20.0)], 1.5)) == {(0, 0), (0, 1)}


def test_sources_near_a_lens_of_any_catalogue_are_found(tmp_path: Path) -> None:
    """Earlier code excluded the surroundings of the first catalogue only."""
    places = {"a.csv": (150.1, 2.0), "b.csv": (150.2, 2.1), "c.csv": (150.3, 2.2)}
    catalogs = []
    for name, (ra, dec) in places.items():
        (tmp_path / name).write_text(f"ra,dec\n{ra},{dec}\n")
        catalogs.append(read_catalog(CatalogSpec.parse(str(tmp_path / name))))
    index = PositionIndex(
        np.concatenate([catalog.ra for catalog in catalogs]),
        np.concatenate([catalog.dec for catalog in catalogs]),
        11.0,
    )
    sources = [offset(*place, 90, 10.9) for place in places.values()]
    sources += [offset(*place, 90, 11.1) for place in places.values()]
    found = index.pairs(*np.array(sources).T)
    assert found.source.tolist() == [0, 1, 2]
    assert found.position.tolist() == [0, 1, 2]


def test_real_candidates_pair_with_themselves(shared_data: Any) -> None:
    """Four pairs of the real candidates lie within 11 arcsec of each other."""
    catalog = read_catalog(CatalogSpec.parse(str(shared_data("desi_candidates.csv"))))
    found = PositionIndex(catalog.ra, catalog.dec, 11.0).pairs(catalog.ra, catalog.dec)
    pairs_found = set(zip(found.source.tolist(), found.position.tolist(), strict=True))
    assert {(i, i) for i in range(len(catalog.ra))} <= pairs_found
    assert len({(a, b) for a, b in pairs_found if a < b}) == 4


def test_each_position_may_have_its_own_radius() -> None:
    """Against every separation, worked out in the plane of three numbers."""
    rng = np.random.default_rng(8)
    ra, dec = rng.uniform(10, 10.02, 60), rng.uniform(-0.01, 0.01, 60)
    radius = rng.choice([0.5, 3.0, 11.0, 40.0], 60)
    sources = rng.uniform(9.99, 10.03, 400), rng.uniform(-0.02, 0.02, 400)
    found = PositionIndex(ra, dec, radius).pairs(*sources)
    east = (sources[0][:, None] - ra) * np.cos(np.radians(dec)) * 3600
    near = np.hypot(east, (sources[1][:, None] - dec) * 3600) <= radius
    assert list(zip(found.source.tolist(), found.position.tolist(), strict=True)) == [
        tuple(pair) for pair in np.argwhere(near).tolist()
    ]
