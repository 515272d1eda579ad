"""SummarizeFanOut: what the map found, added up; the positives; the quotas; gate 2."""

from lensneg.stages.summarize_fan_out.summary import summarize_fan_out

__all__ = ["summarize_fan_out"]
