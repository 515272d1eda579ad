"""CheckSample: check the job, its summary and its rows, write these in their final form, and judge gate 3."""

from lensneg.stages.check_sample.gate3 import check_sample

__all__ = ["check_sample"]
