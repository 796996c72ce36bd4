"""From a reader to a pipeline: records for training, checked files for everything else."""

__all__ = ["open_pipeline"]

from ..options.config import Config
from .pipeline import Pipeline
from .reader import Reader, inspect_rows
from .records import open_records


def open_pipeline(
    reader: Reader, options: Config, rank: int, world: int, training: bool, seed: int | None = None
) -> Pipeline:
    """Open ``reader`` for training (from records) or for evaluation (from the files, checked first).

    ``seed`` of order and augmentation is that of the options where it is None.

    Raises:
        UserError: anything about the options or the files that would stop the run later.
    """
    if not training:
        pipeline = Pipeline(reader, rank=rank, world=world, threads=options.num_workers)
        inspect_rows(reader, range(rank, len(reader.rows), world), options.num_workers, show=rank == 0)
        return pipeline
    return Pipeline(
        reader,
        open_records(reader, options.data_root, options.records_dir, options.record_shards),
        batch_size=options.batch_size,
        seed=options.seed if seed is None else seed,
        shuffle=not options.serial_batches,
        rank=rank,
        world=world,
        threads=options.num_workers,
    )
