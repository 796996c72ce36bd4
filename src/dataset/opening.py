"""From a reader to a pipeline: records for training, checked files for everything else."""

__all__ = ["open_pipeline"]

from src.dataset.pipeline import Pipeline
from src.dataset.reader import Reader, inspect_rows
from src.dataset.records import open_records


def open_pipeline(reader: Reader, config, rank: int, world: int, training: bool, seed: int | None = None) -> Pipeline:
    """Open ``reader`` for training (from records) or for evaluation (from the files, checked first).

    ``seed`` of order and augmentation is that of the options where it is None.

    Raises:
        UserError: anything about the options or the files that would stop the run later.
    """
    if not training:
        pipeline = Pipeline(reader, rank=rank, world=world, threads=config.num_workers)
        inspect_rows(reader, range(rank, len(reader.rows), world), config.num_workers, show=rank == 0)
        return pipeline
    return Pipeline(
        reader,
        open_records(reader, config.data_root, config.records_dir, config.record_shards),
        batch_size=config.batch_size,
        seed=config.seed if seed is None else seed,
        shuffle=not config.serial_batches,
        rank=rank,
        world=world,
        threads=config.num_workers,
    )
