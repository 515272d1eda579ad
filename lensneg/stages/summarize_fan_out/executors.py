"""The number of executors of the draw's job, which follows the size of the sample."""

import math
from typing import Final

from lensneg.cost.model import DRAW_REFERENCE
from lensneg.cost.tables import Rates
from lensneg.schema.quotas import Quotas

#: vCPUs of the driver, and of each executor (template.yaml).
WORKER_VCPUS: Final = 4

#: Seconds of work for an executor. EMR Serverless bills a worker for at least a minute, which is 0.005 USD:
#: the time that more executors save is worth more.
_WORK_SECONDS: Final = 20

#: Cores on which ``draw_seconds`` of configs/rates.yaml was measured.
_MEASURED_CORES: Final = 2


def executors_of(quotas: Quotas, rates: Rates, max_vcpus: int) -> int:
    """Return the number of executors of the job.

    Each executor gets 20 seconds of work, which is to open the pool files, and to draw and write the rows.

    Parameters
    ----------
    quotas : Quotas
        The pool files, and the rows to draw.
    rates : Rates
        How fast a core works.
    max_vcpus : int
        The vCPUs of the job, of which the driver takes 4.

    Returns
    -------
    int
        At least 1.
    """
    rows = sum(stratum.quota for stratum in quotas.strata)
    opening = len(quotas.pool_files) * rates.spark_open_seconds
    drawing = rates.draw_seconds * _MEASURED_CORES * rows / DRAW_REFERENCE
    wanted = math.ceil((opening + drawing) / (WORKER_VCPUS * _WORK_SECONDS))
    return max(1, min(wanted, max_vcpus // WORKER_VCPUS - 1))
