"""The number of executors follows the sample's size, within the vCPUs of the job."""

import pytest

from lensneg.cost.tables import load_rates
from lensneg.rules.quotas import plain_draws
from lensneg.schema.layout import RunFiles
from lensneg.schema.pool import Footer
from lensneg.schema.quotas import ManifestRules, PoolQuota, Quotas, StratumQuota
from lensneg.stages.summarize_fan_out.executors import executors_of
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out

#: 0.1 s to open a file; 500,000 rows in 6 s on 2 cores, so 12 s of a core.
RATES = load_rates().rates.model_copy(update={"spark_open_seconds": 0.1, "draw_seconds": 6.0})


def quotas_of(files: int, rows: int) -> Quotas:
    pool = PoolQuota(pool="N1", available=rows, target=rows, backfill=0, quota=rows)
    stratum = StratumQuota(nobs_z_bin="1", type_bin="SER", positives=1, target=rows, shortfall=0,
                           reachable=True, pools=(pool,), draws=plain_draws([pool]))  # fmt: skip
    names = tuple(f"{number}.parquet" for number in range(files))
    footer = Footer(size=0, sha256="")
    manifest = ManifestRules(columns={}, pool=(), run={}, splits=(), split_edges=(), split_seed=0)
    return Quotas(run_id="one", pool_files=names, row_groups=dict.fromkeys(names, ()), repeated_rows=0,
                  pieces=(), footers=dict.fromkeys(names, footer), manifest=manifest,
                  strata=(stratum, stratum))  # fmt: skip


@pytest.mark.parametrize(
    ("files", "rows", "max_vcpus", "executors"),
    [
        (2, 50, 16, 1),
        (0, 0, 16, 1),
        # Two strata of 1,666,000 rows: 79.97 s of a core, 20 s of the 4 cores of one executor.
        (0, 1_666_000, 16, 1),
        (0, 1_667_000, 16, 2),
        (0, 3_334_000, 16, 3),
        (800, 1_666_000, 16, 2),  # and 80 s to open 800 files
        (0, 50_000_000, 400, 30),
        (0, 50_000_000, 16, 3),  # the driver takes 4 of the 16 vCPUs
        (0, 50_000_000, 19, 3),
        (0, 50_000_000, 8, 1),
        (0, 50_000_000, 4, 1),
    ],
)
def test_each_executor_gets_20_seconds_of_work(files: int, rows: int, max_vcpus: int, executors: int) -> None:
    assert executors_of(quotas_of(files, rows), RATES, max_vcpus) == executors


def test_summarize_fan_out_returns_them(mapped: RunFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noting(quotas: Quotas, _rates: object, max_vcpus: int) -> int:
        asked.append((quotas, max_vcpus))
        return 5

    monkeypatch.setattr("lensneg.stages.summarize_fan_out.summary.executors_of", noting)
    assert summarize_fan_out(mapped.root, max_vcpus=24).executors == 5
    assert asked == [(Quotas.read(mapped.quotas), 24)]
