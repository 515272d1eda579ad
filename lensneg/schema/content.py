"""The hash of a manifest's rows."""

import hashlib
import json

import numpy as np
import pyarrow as pa

from lensneg.schema.columns import MANIFEST_SCHEMA, RUN_COLUMNS


def content_sha256(table: pa.Table) -> str:
    """Return a hash of a manifest's rows, which is the same for two runs of the same inputs.

    The hash covers every column except those that identify the run (``RUN_COLUMNS``), in the order of the
    rows. It does not depend on the layout of the files or on their compression.

    Parameters
    ----------
    table : pyarrow.Table
        Rows with the columns of :data:`MANIFEST_SCHEMA`.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for field in MANIFEST_SCHEMA:
        if field.name in RUN_COLUMNS:
            continue
        column = table[field.name].combine_chunks()
        digest.update(field.name.encode() + b"\0")
        digest.update(np.asarray(column.is_null(nan_is_null=False)).tobytes())
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            text = column.fill_null("")
            digest.update(json.dumps(text.to_pylist()).encode())
        else:
            values = column.fill_null(0).to_numpy(zero_copy_only=False)
            digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()
