"""Preflight: everything that can be known to be wrong before any work is done."""

from lensneg.stages.preflight.gate1 import preflight

__all__ = ["preflight"]
