"""FilterSweep: one item of the map."""

from __future__ import annotations

from contextlib import suppress

from aws_lambda_powertools.metrics import MetricUnit

from functions.task import Event, logger, metrics, task
from lensneg import storage
from lensneg.errors import LensnegError
from lensneg.schema.item import Item
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import load_run
from lensneg.stages.filter_sweep.item import filter_item


@task
def handler(event: Event) -> Event:
    """Work on one item; where it fails for a reason that we know, leave word for gate 2."""
    files = RunFiles.of_root(event["root"])
    item = Item.model_validate(event["item"])
    logger.append_keys(item=item.id)
    try:
        stats = filter_item(load_run(event["root"]), item)
    except LensnegError as error:
        _leave_word(files, item, str(error))
        raise
    except MemoryError:
        remedy = (
            "give the function more (MemorySize in template.yaml), or on one machine take fewer --workers"
        )
        _leave_word(files, item, f"{item.sweep}: out of memory; {remedy}")
        raise
    metrics.add_metric("ItemsDone", MetricUnit.Count, 1)
    metrics.add_metric("RowsIn", MetricUnit.Count, stats.rows_in)
    metrics.add_metric("RowsKept", MetricUnit.Count, stats.rows_kept)
    metrics.add_metric("BytesRead", MetricUnit.Bytes, stats.bytes_read)
    return {"item": item.id, "rows_in": stats.rows_in, "rows_kept": stats.rows_kept}


def _leave_word(files: RunFiles, item: Item, message: str) -> None:
    with suppress(LensnegError, MemoryError):  # where not even that can be written, the error matters more
        storage.write_json(files.error(item.id), {"item": item.id, "message": message})
