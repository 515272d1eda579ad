"""CheckSample: check the job and its summary, gather and write the sample, and judge gate 3."""

from lensneg.stages.check_sample.gate3 import check_sample

__all__ = ["check_sample"]
