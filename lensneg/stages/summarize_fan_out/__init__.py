"""SummarizeFanOut: the sums over the map's items, the positives, the quotas, and gate 2."""

from lensneg.stages.summarize_fan_out.summary import summarize_fan_out

__all__ = ["summarize_fan_out"]
