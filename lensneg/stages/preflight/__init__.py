"""Preflight: check the inputs of a run before any work is done, and judge gate 1."""

from lensneg.stages.preflight.gate1 import preflight

__all__ = ["preflight"]
