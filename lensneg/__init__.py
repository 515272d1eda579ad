"""lensneg: negatives for strong-lens finders, drawn from the DESI Legacy Imaging Surveys DR10."""

from lensneg.version import __version__ as __version__
