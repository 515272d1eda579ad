"""``lensneg sweeps``: list, fetch and verify the survey's sweep files."""

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args

import click

from lensneg.commands.common import (
    EXIT_BROKEN,
    EXIT_GATE_FAILED,
    Group,
    Result,
    leave_out_option,
    notes,
    output_folder,
    prints_result,
    say,
)
from lensneg.commands.failure import Fault
from lensneg.errors import InputError
from lensneg.survey.releases import BASE_URL, RELEASE_NAME
from lensneg.survey.versions import FETCHED, SERVER

if TYPE_CHECKING:
    from lensneg.survey.names import Cell

FROM_OPTION = click.option("--from", "base_url", default=BASE_URL, metavar="URL", help="Folder of the files.")
RELEASE_OPTION = click.option(
    "--release",
    type=click.Choice(list(FETCHED), case_sensitive=False),
    help=f"Version of the survey, by default that of --config, or {RELEASE_NAME}. The names of the files of "
    "another one are read from its folder's list of checksums.",
)
CONFIG_OPTION = click.option(
    "--config", metavar="FILE", help="Config whose releases name the version of the survey."
)
CHECKSUMS_OPTION = click.option(
    "--checksums",
    metavar="FILE|URL",
    help="List of SHA-256 checksums; by default the *.sha256sum file beside the files.",
)


@click.group(cls=Group)
def sweeps() -> None:
    """List, fetch and verify the survey's sweep files.

    \b
    Example: lensneg sweeps list --near lenses.csv
             lensneg sweeps fetch --near lenses.csv --to sweeps
             lensneg sweeps verify sweeps
    """  # noqa: D301 (\b keeps click from wrapping the paragraph)


_Answer = TypeVar("_Answer")


class Chosen(NamedTuple):
    """The files that the options chose.

    Attributes
    ----------
    names : list of str
        By name; with ``--near``, the files with most lenses first.
    lenses : dict of str to int
        The number of lenses in each of them; empty without ``--near``.
    lenses_given : int
        The number of lenses in the catalogues.
    """

    names: list[str]
    lenses: dict[str, int]
    lenses_given: int

    @property
    def remark(self) -> str:
        """How many lenses the files hold."""
        if not self.lenses:
            return ""
        held = sum(self.lenses.values())
        share = held / self.lenses_given if self.lenses_given else 0.0
        return f"; they hold {held:,} of {self.lenses_given:,} lenses ({share:.0%})"


def choosing(command: Callable[..., _Answer]) -> Callable[..., _Answer]:
    """Add the options that choose files of a release. The command gets them as ``chosen``."""

    @RELEASE_OPTION
    @CONFIG_OPTION
    @click.argument("names", nargs=-1, metavar="[NAME]...")
    @click.option(
        "--near",
        multiple=True,
        metavar="FILE",
        help="Only files in whose cell a position of this catalogue lies; repeatable, with the "
        "?ra=COL&dec=COL&where.COL=VALUE of lensneg run.",
    )
    @click.option(
        "--best",
        type=click.IntRange(min=1),
        metavar="N",
        help="Only the N files that hold most of the lenses of --near.",
    )
    @click.option(
        "--box",
        nargs=4,
        type=float,
        metavar="RA0 RA1 DEC0 DEC1",
        help="Only files that overlap this box, in degrees; across RA 0 where RA0 > RA1.",
    )
    @click.option(
        "--dec",
        nargs=2,
        type=float,
        metavar="DEC0 DEC1",
        help="Only files that overlap this range of declination.",
    )
    @functools.wraps(command)
    def choose(
        *session: Any,
        release: str | None,
        config: str | None,
        names: tuple[str, ...],
        near: tuple[str, ...],
        best: int | None,
        box: tuple[float, float, float, float] | None,
        dec: tuple[float, float] | None,
        **options: Any,
    ) -> _Answer:
        from lensneg.catalogs.catalog import read_catalog
        from lensneg.schema.catalog_spec import CatalogSpec
        from lensneg.survey.choose import Box, choose_sweeps, count_lenses

        release = release_of(release, config)
        if best and not near:
            raise InputError("the lenses are not known", where="--best", remedy="name them with --near FILE")
        boxes = [Box(*box)] if box else []
        boxes += [Box(0, 360, *dec)] if dec else []
        if near:
            say(f"reading {', '.join(near)}")
        catalogs = [read_catalog(CatalogSpec.parse(text)) for text in near]
        for catalog in catalogs:
            say(f"{catalog.spec.uri}: {catalog.summary}")
        cells = None
        if release != RELEASE_NAME:
            if options["base_url"] == BASE_URL:
                options["base_url"] = f"{SERVER}{FETCHED[release].folder}/"
            cells = _cells_of(options["base_url"], options.get("checksums"))
        positions = [(c.ra, c.dec) for c in catalogs]
        chosen = Chosen(choose_sweeps(names, positions, boxes, FETCHED[release].name, cells), {}, 0)
        if near:
            lenses, given = count_lenses(chosen.names, positions, cells)
            lenses = dict(list(lenses.items())[:best])
            chosen = Chosen(list(lenses), lenses, given)
        return command(*session, chosen=chosen, release=release, **options)

    return choose


def release_of(release: str | None, config: str | None) -> str:
    """Return the version of the survey that two options name: the release, or else that of a config."""
    if release or not config:
        return release or RELEASE_NAME
    from lensneg.schema.config import Config

    wanted = set(Config.load(config).sweeps.releases)
    named = [name for name, version in FETCHED.items() if version.releases & wanted]
    if len(named) != 1:
        what = f"its releases are of {' and '.join(named) or 'none of ' + ', '.join(FETCHED)}"
        raise InputError(what, where=f"--config {config}", remedy="say which files you mean with --release")
    return named[0]


def _cells_of(base_url: str, checksums: str | None) -> "dict[str, Cell]":
    """Return the cells of the files in a list of checksums, by default that of a folder on the server."""
    from lensneg.survey.names import sweep_cell
    from lensneg.survey.server import Server, read_checksums

    listed = read_checksums(checksums) if checksums else Server(base_url).checksums()
    cells = {name: sweep_cell(name) for name in sorted(listed.sha256)}
    return {name: cell for name, cell in cells.items() if cell is not None}


@sweeps.command("list")
@choosing
@click.option("--ask", is_flag=True, help="Ask the server for the size of each file.")
@FROM_OPTION
@prints_result
def list_(chosen: Chosen, release: str, ask: bool, base_url: str) -> Result:
    """List the sweep files that cover a catalogue, a box, a range of Dec, or the whole release.

    Prints a name in each line, and the bytes of the file if they are known, as lensneg cost --listing reads
    it. Without --ask, the sizes of few files of DR10.1 are known, and the total is an estimate. With --near,
    the files that hold most lenses come first, and each line ends with their number.

    \b
    Example: lensneg sweeps list --dec -18 32
             lensneg sweeps list --near lenses.csv --best 20
    """  # noqa: D301 (\b keeps click from wrapping the paragraph)
    from lensneg.cost.listing import listing_of
    from lensneg.cost.tables import load_rates

    rates = load_rates()
    names = chosen.names
    known = {name: rates.sweeps.known_bytes.get(name) for name in names}
    if ask:
        from lensneg.commands.progress import counted
        from lensneg.survey.server import Server

        server = Server(base_url)
        with server.threads(4) as threads:
            sizes = counted(threads.map(server.size, names), len(names), f"asking {base_url}")
            known = dict(zip(names, sizes, strict=True))
    folder, version = base_url.rstrip("/"), FETCHED[release].name
    files = [
        {"name": name, "url": f"{folder}/{name}", "bytes": known[name]}
        | ({"lenses": chosen.lenses[name]} if chosen.lenses else {})
        for name in names
    ]
    lines = [
        f"{name}{f' {known[name]}' if known[name] else ''}"
        + (f"  # {_lenses(chosen.lenses[name])}" if chosen.lenses else "")
        for name in names
    ]
    remark = f"{len(names):,} sweep files of {version}, "
    listing = listing_of(list(known.items()), version, rates)
    totals: dict[str, Any] = {"bytes": listing.bytes, "estimated": listing.modelled > 0}
    remark += f"{'about ' if listing.modelled else ''}{listing.bytes / 1e9:,.1f} GB"
    if chosen.lenses:
        totals |= {"lenses": sum(chosen.lenses.values()), "lenses_given": chosen.lenses_given}
    return Result({"release": version, "files": files, **totals}, "\n".join(lines), remark + chosen.remark)


def _lenses(count: int) -> str:
    return "1 lens" if count == 1 else f"{count:,} lenses"


@sweeps.command()
@choosing
@click.option("--to", required=True, metavar="URI", help="Folder or s3:// prefix to put the files in.")
@click.option("--gzip", is_flag=True, help="Store them as .fits.gz.")
@click.option(
    "--jobs", type=click.IntRange(1, 8), default=4, help="Files at a time; more would overload the server."
)
@FROM_OPTION
@CHECKSUMS_OPTION
@click.option("--unchecked", is_flag=True, help="Fetch without checksums.")
@click.option(
    "--scratch",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for files on their way to S3; by default .lensneg-sweeps in the current folder.",
)
@prints_result
def fetch(
    chosen: Chosen,
    release: str,
    to: str,
    gzip: bool,
    jobs: int,
    base_url: str,
    checksums: str | None,
    unchecked: bool,
    scratch: Path | None,
) -> Result:
    """Fetch sweep files from the survey's server, or another, to a folder or to S3.

    A file gets its name when its SHA-256 equals that of the folder's list. An interrupted download goes on
    where it stopped, also in a later command. Files that are there already are kept. Ends with 2 before the
    first file if the disk has too little room for all, and with 3 if a file failed.

    Example: lensneg sweeps fetch --near lenses.csv --to sweeps
    """
    from lensneg import storage
    from lensneg.commands.progress import FetchProgress, bytes_bar
    from lensneg.cost.tables import load_rates
    from lensneg.survey.fetch import FetchPlan, Outcome, check_room, fetch_sweeps
    from lensneg.survey.server import Server, read_checksums

    uri = output_folder(to, "--to")
    folder = scratch or Path(".lensneg-sweeps" if storage.is_s3(uri) else uri)
    say(f"asking {base_url}")
    server = Server(base_url, connections=jobs)
    listed = None if unchecked else read_checksums(checksums) if checksums else server.checksums()
    plan = FetchPlan(server, chosen.names, uri, folder, gzip, listed and listed.sha256, jobs)
    check_room(plan, load_rates().rates.gzip_ratio)
    if listed is not None:
        storage.write_bytes(storage.join(uri, listed.name), listed.text.encode())
    with bytes_bar(notes) as bars:
        progress = FetchProgress(bars, len(chosen.names))
        results = fetch_sweeps(plan, progress)
    counts = Counter(result.outcome for result in results)
    text = ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in get_args(Outcome))
    remedy = "give the same command again: it tries again what failed and leaves the rest alone"
    faults = [Fault(result.name, result.reason, remedy) for result in results if result.outcome == "failed"]
    data = {"to": uri, "files": [result._asdict() for result in results]}
    return Result(data, text, progress.summary(), faults, EXIT_BROKEN if faults else 0)


@sweeps.command()
@click.argument("uri", metavar="URI")
@CHECKSUMS_OPTION
@leave_out_option
@click.option("--headers-only", is_flag=True, help="Check headers and first rows only: seconds, not hours.")
@click.option("--jobs", type=click.IntRange(1, 64), default=4, help="Files at a time.")
@prints_result
def verify(
    uri: str, checksums: str | None, leave_out: tuple[str, ...], headers_only: bool, jobs: int
) -> Result:
    """Check the sweep files below a folder or an s3:// prefix: SHA-256, header, rows.

    Every row must have a release and a brick. The sums in a file's headers (DATASUM, CHECKSUM) must be right,
    where it has them. The content of gzipped files is checked, as checksums are those of the survey's
    uncompressed files. Ends with 1 if a file is not sound.

    Example: lensneg sweeps verify sweeps
    """
    from lensneg import storage
    from lensneg.commands.progress import bytes_bar
    from lensneg.survey.listing import NOT_READ_REMEDY, find_checksums, find_sweeps
    from lensneg.survey.server import read_checksums
    from lensneg.survey.verify import verify_sweeps

    say(f"looking at {uri}")
    folder = find_sweeps(uri, leave_out)
    files = folder.sweeps
    given = "" if headers_only else checksums or find_checksums(uri)
    known = read_checksums(given).sha256 if given else {}
    if not given and not headers_only:
        say(f"{uri}: no *.sha256sum file: headers, rows and the headers' sums are checked, SHA-256 is not")
    stored = sum(info.size for info in files)
    with bytes_bar(notes) as bar:
        task = bar.add_task("verify", total=stored)
        results = verify_sweeps(
            files,
            known,
            headers_only=headers_only,
            jobs=jobs,
            on_bytes=lambda count: bar.update(task, advance=count),
            on_file=lambda r: None if notes.is_terminal else say(f"{r.name}: {r.rows:,} rows, {r.verdict}"),
        )
    fetch = "fetch the file again"
    faults = [Fault(result.name, result.fault, fetch) for result in results if result.fault]
    sound = len(files) - len(faults)
    faults += [Fault(storage.join(uri, at), "it is not read", NOT_READ_REMEDY) for at in folder.not_read]
    faults += [Fault(entry, "not sound: a folder or a broken link", fetch) for entry in folder.not_files]
    checked = sum(result.checked and not result.fault for result in results)
    text = f"{len(files):,} sweep files, {sum(r.rows for r in results):,} rows, {stored / 1e9:,.2f} GB: "
    text += f"{sound:,} sound ({checked:,} by checksum), {len(files) - sound:,} not"
    found = [result._asdict() for result in results]
    data = {"uri": storage.normalize(uri), "sound": not faults, "files": found}
    return Result(data, text, faults=faults, exit_code=EXIT_GATE_FAILED if faults else 0)
