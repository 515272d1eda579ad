"""Find the pool files that are not those that were counted."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from lensneg import storage
from lensneg.schema.check import Check
from lensneg.schema.layout import RunFiles
from lensneg.schema.quotas import Quotas

#: Threads that read the ends of pool files. On S3 each costs a round trip.
_THREADS: Final = 16


def pool_files_counted(files: RunFiles, quotas: Quotas) -> Check:
    """Check that each pool file is the one that was counted, by its footer.

    The footer says where each page is. The job verifies the checksums of the pages that it reads. To Spark an
    empty file is one without rows.

    Parameters
    ----------
    files : RunFiles
        The run.
    quotas : Quotas
        The footers.

    Returns
    -------
    Check
        It names the first other files.
    """
    sizes = {storage.basename(info.uri): info.size for info in storage.list_files(files.pool_folder)}

    def fault(name: str) -> str:
        uri = storage.join(files.pool_folder, name)
        if name not in sizes:
            return f"{uri} is missing"
        counted = quotas.footers[name]
        footer = storage.read_bytes(uri, max(0, sizes[name] - counted.size))
        return "" if hashlib.sha256(footer).hexdigest() == counted.sha256 else f"{uri} is another file"

    with ThreadPoolExecutor(_THREADS) as threads:
        faults = list(filter(None, threads.map(fault, quotas.pool_files)))
    return Check.of_faults(
        "pool_files_counted",
        faults,
        expected="the pool files that were counted",
        found=f"{len(quotas.pool_files):,} files",
        remedy="start again with the same run id: these items are then done again",
    )
