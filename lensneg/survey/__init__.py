"""The survey's sweep files: names, releases, checksums, download and reading."""
