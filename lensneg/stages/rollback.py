"""Go back to a manifest that was published earlier. This is no state of the graph."""

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest
from lensneg.schema.manifest_places import MANIFEST_NAME
from lensneg.schema.states import Written
from lensneg.stages.publish_manifest import claim_config_version, point_to


def rollback(out: str, run_id: str) -> Written:
    """Make latest.json name a run that was published earlier.

    Parameters
    ----------
    out : str
        The output folder.
    run_id : str
        The run to go back to.

    Returns
    -------
    Written
        latest.json.

    Raises
    ------
    InputError
        If the run is not published there, or its files are not those of its manifest.json.
    RunStateError
        If its config's name and version stand for other content.
    """
    files = RunFiles(out, run_id)
    if not storage.exists(files.manifest):
        listed = storage.list_files(storage.join(out, "manifests"), missing_ok=True)
        published = [
            info.uri.split("/")[-2] for info in listed if storage.basename(info.uri) == MANIFEST_NAME
        ]
        there = ", ".join(sorted(published))
        remedy = f"name one of {there}" if there else "name the output folder of a published run"
        raise InputError(f"no published manifest of run {run_id}", where=out, remedy=remedy)
    manifest = Manifest.open(files.manifest)
    if manifest.run_id != run_id:
        what = f"the manifest is of run {manifest.run_id}"
        raise InputError(what, where=files.manifest, remedy="was the folder renamed? give it back its name")
    manifest.verify()
    record = manifest.record.run
    claim_config_version(files, record)
    point_to(files, record, rolled_back=True)
    return Written(uri=files.latest)
