"""The contents of all files as types: columns, records, checks."""
