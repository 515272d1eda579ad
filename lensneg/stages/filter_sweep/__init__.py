"""FilterSweep: a map item's rows in; survivors, candidate matches and counts out."""

from lensneg.stages.filter_sweep.item import filter_item

__all__ = ["filter_item"]
