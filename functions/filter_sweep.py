"""FilterSweep: one item of the map."""

from contextlib import suppress

from aws_lambda_powertools.metrics import MetricUnit

from functions.task import TaskEvent, metrics, task
from lensneg import storage
from lensneg.errors import LensnegError
from lensneg.schema.item import Item, ItemError
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import load_run
from lensneg.schema.states import ItemDone
from lensneg.stages.filter_sweep import filter_item


@task
def handler(event: TaskEvent) -> ItemDone:
    """Filter one item. If it fails, write the reason for gate 2."""
    files, item = RunFiles.of_root(event.root), event.item
    assert item is not None
    storage.delete(files.error(item.id))  # of an earlier attempt
    try:
        stats = filter_item(load_run(event.root), item, event.scratch)
    except LensnegError as error:
        _write_error(files, item, str(error))
        raise
    except MemoryError:
        remedy = (
            "give the function more (MemorySize in template.yaml), or on one machine take fewer --workers"
        )
        _write_error(files, item, f"{item.sweep}: out of memory; {remedy}")
        raise
    except Exception as error:
        remedy = "this is a fault of lensneg: please report it, with the function's log"
        _write_error(files, item, f"{item.sweep}: {type(error).__name__}: {error}; {remedy}")
        raise
    metrics.add_metric("ItemsDone", MetricUnit.Count, 1)
    metrics.add_metric("RowsIn", MetricUnit.Count, stats.rows_in)
    metrics.add_metric("RowsKept", MetricUnit.Count, stats.rows_kept)
    metrics.add_metric("BytesRead", MetricUnit.Bytes, stats.bytes_read)
    return ItemDone(item=item.id, rows_in=stats.rows_in, rows_kept=stats.rows_kept)


def _write_error(files: RunFiles, item: Item, message: str) -> None:
    with suppress(LensnegError, MemoryError):  # the item's own error matters more
        ItemError(item=item.id, message=message).write(files.error(item.id))
