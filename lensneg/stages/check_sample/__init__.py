"""CheckSample: the job ended well and drew what it was asked for; the sample's rows; gate 3."""

from lensneg.stages.check_sample.gate3 import check_sample

__all__ = ["check_sample"]
