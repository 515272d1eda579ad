"""Functions that are the same on every processor: exact enough, and the same bytes on all machines."""

import hashlib
import os
import subprocess
import sys
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest

from lensneg.rules.elementary import exp, log10, sin_cos

#: NumPy's names of instructions; a process without them computes as an older processor does.
OLDER = {
    "without AVX-512": {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR AVX512F AVX512_SKX"},
    "without AVX2 and FMA": {
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 FMA3 AVX512F AVX512_SKX",
        "OPENBLAS_CORETYPE": "Nehalem",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
    },
    "in another locale and zone, with one thread": {
        "LC_ALL": "de_DE.UTF-8", "TZ": "Asia/Kolkata", "OMP_NUM_THREADS": "1",
    },
}  # fmt: skip

VALUES = (np.arange(1, 200_001, dtype=np.float64) * 0.618033988749895) % 1  # dense in 0 to 1, and exact

#: What the functions gave on a processor with AVX-512. Every other one, Python and NumPy must give the same.
KNOWN = "1a3873592618444a36993c882e3f1ecc2ba8e92a6423ffb5ac6b6c4e445ca6b7"


def digest() -> str:
    """The hash of the values that decide, or that a manifest holds, and of a mock sky's bytes."""
    import tempfile

    from lensneg.mocksky import write_mock_sky
    from lensneg.rules.photometry import ellipticity, magnitude
    from lensneg.rules.sky import healpix_pixel, separation_arcsec, unit_vectors

    flux = (1e4 * VALUES**2).astype(np.float32)
    ra, dec = 360 * VALUES, 180 * VALUES[::-1] - 90
    here, there = unit_vectors(ra, dec), unit_vectors(ra, dec + 0.01 * VALUES)
    found = [
        magnitude(flux), ellipticity(VALUES - 0.5, VALUES[::-1]), exp(1400 * VALUES - 700), here,
        separation_arcsec(here, there), healpix_pixel(128, ra, dec),
    ]  # fmt: skip
    hashed = hashlib.sha256(b"".join(values.tobytes() for values in found))
    with tempfile.TemporaryDirectory() as folder:
        write_mock_sky(folder, files=2, rows=2_000, seed=7)
        sky = hashlib.sha256()
        for path in sorted(Path(folder).rglob("*.*")):
            if path.is_file():
                sky.update(path.read_bytes())
    return f"{hashed.hexdigest()} {sky.hexdigest()}"


def test_known_values() -> None:
    assert digest().split()[0] == KNOWN


@pytest.mark.parametrize("how", OLDER)
def test_the_same_on_another_machine(how: str) -> None:
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, **OLDER[how], "PYTHONPATH": os.pathsep.join(paths)}
    code = "import test_elementary; print(test_elementary.digest())"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == digest().split()


def test_close_to_the_true_values() -> None:
    flux = np.concatenate([VALUES[:3000], 10 ** (600 * VALUES[:3000] - 300)])
    power = 1400 * VALUES[:3000] - 700
    with localcontext() as context:
        context.prec = 40
        for value, found in zip(flux.tolist(), log10(flux).tolist(), strict=True):
            true = Decimal(value).log10()
            assert abs(Decimal(found) - true) <= Decimal("1e-15") * abs(true)
        for value, found in zip(power.tolist(), exp(power).tolist(), strict=True):
            true = Decimal(value).exp()
            assert abs(Decimal(found) - true) <= Decimal("1e-15") * true
    angles = 1440 * VALUES - 720
    for found, true in zip(
        sin_cos(angles), (np.sin(np.radians(angles)), np.cos(np.radians(angles))), strict=True
    ):
        assert np.abs(found - true).max() < 3e-15  # numpy's radians are exact to 1e-15


def test_whole_powers_of_ten_are_exact() -> None:
    powers = np.arange(-5, 23)
    assert log10([float(f"1e{power}") for power in powers]).tolist() == powers.tolist()


def test_what_has_no_logarithm_and_no_direction() -> None:
    assert np.isnan(log10([0.0, -1.0, np.nan, -np.inf])).all()
    assert np.isnan(sin_cos([np.nan, np.inf, -np.inf])).all()
    assert log10(np.inf) == np.inf
    assert np.isfinite(log10([5e-324, 1.7e308])).all()
