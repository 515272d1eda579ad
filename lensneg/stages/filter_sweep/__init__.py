"""FilterSweep: from the rows of a map item to survivors, candidate matches and counts."""

from lensneg.stages.filter_sweep.item import filter_item

__all__ = ["filter_item"]
