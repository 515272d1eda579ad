"""The survey's files: names, releases, readers, checksums, fetching."""
