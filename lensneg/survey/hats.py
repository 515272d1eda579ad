"""The partitions of HATS catalogues, checked against what each catalogue says of itself.

Source: the HATS standard 1.0 (IVOA Note 2025), and the files that hats-import 0.11 writes. Its predecessor,
hipscat, has no folder ``dataset``, and ``catalog_info.json`` in the place of properties. A collection is a
folder of catalogues, such as one of objects with its margins and indexes; ``collection.properties`` names the
one of objects.
"""

import csv
import io
import json
from collections.abc import Callable
from typing import Final

from lensneg import storage
from lensneg.schema.input_name import hats_pixel, input_name

#: Types of catalogues whose rows are objects, each once.
_OBJECTS: Final = ("object", "source")

#: What a catalogue says of itself, in files at its root.
CATALOG_FILES: Final = ("hats.properties", "properties", "catalog_info.json", "partition_info.csv")

#: The names of the file of a catalogue's properties, newest first.
_PROPERTIES: Final = CATALOG_FILES[:-1]


def find_partitions(
    files: list[storage.FileInfo], is_taken: Callable[[str], bool]
) -> tuple[list[storage.FileInfo], list[str]]:
    """Return the partitions of HATS catalogues among some files, and what is wrong with the catalogues.

    Parameters
    ----------
    files : list of FileInfo
        Files of a folder or prefix.
    is_taken : callable
        Tells of a URI whether the user did not leave it out.

    Returns
    -------
    partitions : list of FileInfo
        Those of catalogues of objects.
    faults : list of str
        Catalogues of another type, partitions of a list that are not there, and those that no list has. Each
        begins with a URI.
    """
    catalogs: dict[str, list[storage.FileInfo]] = {}
    for info in files:
        if hats_pixel(info.uri):
            dataset = info.uri.removesuffix(f"/{input_name(info.uri)}")
            catalogs.setdefault(dataset, []).append(info)
    partitions, faults = list[storage.FileInfo](), list[str]()
    roots = {dataset.removesuffix("/dataset") for dataset in catalogs}
    for dataset, found in catalogs.items():
        root = dataset.removesuffix("/dataset")
        folder = root.rpartition("/")[0]
        if (primary := primary_of(folder)) not in ("", root) and primary in roots:
            continue
        kind = _kind(root)
        if kind not in _OBJECTS:
            faults.append(f"{root} (a HATS catalogue of type {kind}, not of objects)")
            continue
        partitions += found
        faults += _unlike_list(root, dataset, found, is_taken)
    if not catalogs:  # hats allows partitions to end otherwise
        lists = [info.uri for info in files if storage.basename(info.uri) == "partition_info.csv"]
        faults += [f"{uri} (a HATS catalogue, and no partition is named Npix=….parquet)" for uri in lists]
    return sorted(partitions), faults


def primary_of(folder: str) -> str:
    """Return the catalogue of objects of a collection.

    Parameters
    ----------
    folder : str
        A folder or prefix.

    Returns
    -------
    str
        Its URI; empty if the folder is no collection.
    """
    name = _properties(_text(storage.join(folder, "collection.properties")) or "").get(
        "hats_primary_table_url", ""
    )
    return storage.join(folder, name.strip("/")) if name else ""


def _properties(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _kind(root: str) -> str:
    """Return the type of a catalogue. One that has no properties, as part of a copy, is taken for objects."""
    for name in _PROPERTIES:
        text = _text(storage.join(root, name))
        if text is None:
            continue
        if name.endswith(".json"):
            try:
                return str(json.loads(text)["catalog_type"])
            except (ValueError, TypeError, KeyError):
                return f"unknown, as {name} has no catalog_type"
        values = _properties(text)
        kind = values.get("dataproduct_type", values.get("catalog_type"))
        return kind or f"unknown, as {name} has no dataproduct_type"
    return "object"


def _unlike_list(
    root: str, dataset: str, found: list[storage.FileInfo], is_taken: Callable[[str], bool]
) -> list[str]:
    """Return how the partitions of a catalogue differ from its list."""
    place = storage.join(root, "partition_info.csv")
    text = _text(place)
    if text is None:
        return []
    try:
        # Norder and Npix, in hipscat with a Dir between them; a margin's other columns do not matter.
        listed = {(int(row["Norder"]), int(row["Npix"])) for row in csv.DictReader(io.StringIO(text))}
    except (KeyError, ValueError, TypeError, csv.Error):
        return [f"{place} (no table with the columns Norder and Npix)"]
    there = {pixel for info in found if (pixel := hats_pixel(info.uri))}
    faults = [
        f"{info.uri} (not in partition_info.csv)" for info in found if hats_pixel(info.uri) not in listed
    ]
    for order, number in sorted(listed - there):
        name = f"Norder={order}/Dir={number // 10_000 * 10_000}/Npix={number}.parquet"
        if is_taken(storage.join(dataset, name)):
            faults.append(f"{storage.join(dataset, name)} (in partition_info.csv, and not there)")
    return faults


def _text(uri: str) -> str | None:
    """Return a small file's text, or None if there is none."""
    try:
        return storage.read_bytes(uri, 0, 64 << 20).decode("utf-8-sig", "replace")
    except FileNotFoundError:
        return None
