"""The upload of the Spark job's code to S3, from where EMR Serverless runs it.

The key of the code is the SHA-256 of its bytes. So new code does not replace old code, and the entry point of
an old job run still names the code that it ran.
"""

import hashlib

from lensneg import storage
from lensneg.schema.resources import SPARK_JOB


def publish_spark_code(destination: str) -> str:
    """Upload the Spark job below a prefix, under the SHA-256 of its content.

    Parameters
    ----------
    destination : str
        ``s3://bucket/prefix``, or a local folder.

    Returns
    -------
    str
        The job's URI, ``<destination>/<sha256>/sample_negatives.py``: the entry point of its job runs.
    """
    code = SPARK_JOB.read_bytes()
    uri = storage.join(destination, hashlib.sha256(code).hexdigest(), SPARK_JOB.name)
    storage.write_bytes(uri, code, if_absent=True)
    return uri
