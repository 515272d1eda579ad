"""lensneg: negatives for strong-lens finders, drawn from the DESI Legacy Imaging Surveys DR10."""

__version__ = "0.1.0"
