"""A model of a run on AWS: dollars and wall time by part, from rates and a table of prices.

Nothing is measured here. Every rate and every price comes from a file that names its source.
``docs/cost.md`` states the formulae. The functions on AWS import this package, and have no rich and click.
"""
