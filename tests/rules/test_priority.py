"""Unique keys and places in the draw, against published vectors and Python's own integers."""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from lensneg.rules.priority import sampling_priority, splitmix64, targetid

GOLDEN = 0x9E3779B97F4A7C15
TWO_64 = 2**64

# ---------------------------------------------------------------- TARGETID


@pytest.mark.parametrize(
    ("release", "brickid", "objid", "expected"),
    [
        (0, 0, 0, 0),
        (0, 0, 1, 1),
        (0, 1, 0, 4_194_304),
        (1, 0, 0, 4_398_046_511_104),
        (10002, 5, 7, 10002 * 4_398_046_511_104 + 5 * 4_194_304 + 7),
        (2**16 - 1, 2**20 - 1, 2**22 - 1, 2**58 - 1),
    ],
)
def test_targetid(release: int, brickid: int, objid: int, expected: int) -> None:
    assert targetid([release], [brickid], [objid]).tolist() == [expected]
    assert reference.target_id(release, brickid, objid) == expected


def test_targetid_of_the_columns_as_they_stand_in_a_file() -> None:
    release = np.array([9011, 10002], dtype=">i2")
    brickid = np.array([1, 2**20 - 1], dtype=">i4")
    objid = np.array([0, 2**22 - 1], dtype=">i4")
    packed = targetid(release, brickid, objid)
    assert packed.dtype == np.int64
    assert [(t >> 42, t >> 22 & 0xFFFFF, t & 0x3FFFFF) for t in packed.tolist()] == [
        (9011, 1, 0),
        (10002, 2**20 - 1, 2**22 - 1),
    ]


def test_the_same_object_number_of_two_releases_is_two_sources() -> None:
    assert len(set(targetid([10000, 10002, 9011], [5, 5, 5], [7, 7, 7]).tolist())) == 3


@pytest.mark.parametrize(
    ("name", "release", "brickid", "objid"),
    [
        ("RELEASE 65536", 65536, 5, 7),
        ("RELEASE -1", -1, 5, 7),
        ("BRICKID 1048576", 10002, 2**20, 7),
        ("BRICKID -5", 10002, -5, 7),
        ("OBJID 4194304", 10002, 5, 2**22),
        ("OBJID -1", 10002, 5, -1),
    ],
)
def test_an_identifier_out_of_range_is_named(name: str, release: int, brickid: int, objid: int) -> None:
    with pytest.raises(ValueError, match=name):
        targetid([10002, release], [5, brickid], [7, objid])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_many_identifiers_the_one_out_of_range_is_named(place: int) -> None:
    """And none that is 0, or the largest that there is room for."""
    columns = [[0, 2**16 - 1, 10002], [0, 2**20 - 1, 5], [0, 2**22 - 1, 7]]
    for bad in (-1, (2**16, 2**20, 2**22)[place]):
        spoiled = [[*column, bad if i == place else 1] for i, column in enumerate(columns)]
        with pytest.raises(ValueError, match=f"^{('RELEASE', 'BRICKID', 'OBJID')[place]} {bad} "):
            targetid(*spoiled)


def test_no_identifiers() -> None:
    assert targetid([], [], []).tolist() == []


# ---------------------------------------------------------------- SplitMix64

# The first outputs of the generator for two seeds, as published with Vigna's reference code and by
# Rosetta Code ("Pseudo-random numbers/Splitmix64").
SEQUENCES = {
    1234567: [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ],
    0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC],
}


@pytest.mark.parametrize(("seed", "outputs"), SEQUENCES.items())
def test_splitmix64_published_vectors(seed: int, outputs: list[int]) -> None:
    states = [(seed + i * GOLDEN) % TWO_64 for i in range(len(outputs))]
    assert splitmix64(np.array(states, dtype=np.uint64)).tolist() == outputs
    assert [reference.splitmix64(state) for state in states] == outputs


def inverse(output: int) -> int:
    """The state that SplitMix64 turns into an output, each step undone."""
    z = output ^ (output >> 31) ^ (output >> 62)
    z = z * pow(0x94D049BB133111EB, -1, TWO_64) % TWO_64
    z ^= (z >> 27) ^ (z >> 54)
    z = z * pow(0xBF58476D1CE4E5B9, -1, TWO_64) % TWO_64
    z ^= (z >> 30) ^ (z >> 60)
    return (z - GOLDEN) % TWO_64


@given(st.lists(st.integers(0, TWO_64 - 1), min_size=1, max_size=50))
def test_splitmix64_is_one_to_one(states: list[int]) -> None:
    outputs = splitmix64(np.array(states, dtype=np.uint64)).tolist()
    assert [inverse(output) for output in outputs] == states


# ---------------------------------------------------------------- priorities


def bigint_priority(identifier: int, seed: int) -> int:
    """The rule once more in Python's unbounded integers."""

    def mix(state: int) -> int:
        z = (state + GOLDEN) % TWO_64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % TWO_64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % TWO_64
        return z ^ z >> 31

    unsigned = mix((identifier + mix(seed)) % TWO_64)
    return int.from_bytes(unsigned.to_bytes(8, "big"), "big", signed=True)


@given(
    st.lists(st.integers(0, 2**58 - 1), min_size=1, max_size=50),
    st.one_of(st.sampled_from([0, 42, 2**63 - 1]), st.integers(0, 2**63 - 1)),
)
def test_priorities_are_those_of_unbounded_integers(identifiers: list[int], seed: int) -> None:
    found = sampling_priority(np.array(identifiers, dtype=np.int64), seed)
    assert found.dtype == np.int64
    assert found.tolist() == [bigint_priority(identifier, seed) for identifier in identifiers]
    assert found.tolist() == [reference.sampling_priority(i, seed) for i in identifiers]


def test_priorities_of_many_neighbours_have_no_ties() -> None:
    first = int(targetid([10002], [336_000], [0])[0])
    priorities = sampling_priority(np.arange(first, first + 400_000), 42)
    assert len(np.unique(priorities)) == 400_000
    # 32 bits would not have done: among so many, 18 ties are expected.
    assert len(np.unique(priorities >> 32)) < 400_000


def test_priorities_are_uniform_over_all_signed_integers() -> None:
    priorities = sampling_priority(np.arange(160_000, dtype=np.int64), 42)
    counts = np.bincount((priorities >> 60) + 8, minlength=16)
    assert len(counts) == 16
    assert np.all(np.abs(counts - 10_000) < 5 * 100)  # 5 standard deviations


def test_priorities_do_not_depend_on_order_or_company() -> None:
    identifiers = np.array([5, 10002 << 42, 7, 2**58 - 1])
    together = sampling_priority(identifiers, 42)
    assert sampling_priority(identifiers[::-1].copy(), 42).tolist() == together[::-1].tolist()
    assert [sampling_priority(identifiers[i : i + 1], 42)[0] for i in range(4)] == together.tolist()


def test_another_seed_makes_another_order() -> None:
    identifiers = np.arange(1000, dtype=np.int64)
    orders = {tuple(np.argsort(sampling_priority(identifiers, seed))[:10]) for seed in range(20)}
    assert len(orders) == 20
