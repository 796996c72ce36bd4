"""Batches in a reproducible order: from records for training, from the files themselves for evaluation.

MindSpore's ``MindDataset`` reads, shuffles and shards the records and resumes at any position. Decoding and
augmentation run in Python threads after it (OpenCV and zlib release the interpreter lock), so that an error is an
exception in the caller and damage is counted in one place. In measurements this is as fast as ``per_batch_map``.
"""

__all__ = ["Pipeline"]

import contextlib
import itertools
import random
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..imaging.names import unique_names
from ..imaging.video import Video
from ..utils.errors import UserError
from ..utils.logging import get_logger
from ..utils.text import counted
from .reader import Reader
from .records import Records
from .shards import unpack

Batch = dict[str, np.ndarray]
# epoch, sample, and what records hold of it
_Rows = Generator[tuple[int, int, dict[str, bytes] | None], None, None]
_SUBSTITUTES = 100


class Pipeline:
    """A data set as batches of NCHW arrays.

    Args:
        reader: reads the files and makes samples of them.
        records: stored samples for training; None reads the files in order, one a batch, without augmentation, and
            every file exactly once over all ranks.
        batch_size: samples a batch (training only).
        seed: order and augmentation follow from (seed, epoch, sample).
        shuffle: whether training draws a new order each epoch.
        rank, world: this process and the number of processes that the samples are divided among.
        threads: decoding threads.
        tolerance: fraction of damaged samples above which training ends.

    Attributes:
        columns: names of the arrays in a batch, ``id`` among them.
        num_samples: samples of the whole data set.
        steps_per_epoch: batches an epoch on this rank (the same on every rank in training).

    Raises:
        UserError: too few samples for one batch on every rank.
    """

    def __init__(
        self,
        reader: Reader,
        records: Records | None = None,
        *,
        batch_size: int = 1,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
        threads: int = 2,
        tolerance: float = 0.01,
    ):
        self.reader = reader
        self.records = records
        self.rank, self.world = rank, world
        self.columns = (*reader.columns, "id")
        self.num_samples = len(reader.rows)
        self._problems: dict[int, str] = {}
        #: name of the samples if they are not a phase of the data set, and their video if they are its frames
        self.source = ""
        self.video: Video | None = None
        #: folder of the true label maps, where it is not that of the data set
        self.label_folder = ""
        self.batch_size = 1 if records is None else batch_size
        self._seed = seed % 2**32
        self._shuffle = shuffle
        self._threads = max(1, threads)
        self._tolerance = tolerance
        self._own_rows = range(rank, self.num_samples, world)
        share = len(self._own_rows) if records is None else -(-self.num_samples // world)
        self.steps_per_epoch = share // self.batch_size
        if records is not None and self.steps_per_epoch == 0:
            raise UserError(
                f"{counted(self.num_samples, 'sample')} on {counted(world, 'worker')}: fewer than one batch of "
                f"{batch_size} each; pass a smaller --batch_size, use fewer workers or add data"
            )
        # OpenCV's own threads compete with the decoding threads and with MindSpore's.
        cv2.setNumThreads(0)

    @property
    def problems(self) -> Mapping[Any, str]:
        """The fault of each damaged sample so far, by its number."""
        return self._problems

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of training samples; files that are read in order may differ."""
        return self._stored.size

    @property
    def _stored(self) -> Records:
        if self.records is None:
            raise ValueError("these samples come from no records")
        return self.records

    def name(self, index: int) -> str:
        """The name of sample ``index``, which no other sample has and which every file system can hold."""
        return self._names[int(index)]

    @cached_property
    def _names(self) -> list[str]:
        return unique_names(row.stem for row in self.reader.rows)

    def files(self, index: int) -> dict[str, Path]:
        """The files of sample ``index`` by column."""
        return dict(self.reader.rows[int(index)].files)

    def epochs(self, total_epochs: int, first_step: int = 0) -> Generator[tuple[int, Iterator[Batch]], None, None]:
        """Yield ``(epoch, batches)``, epochs counted from 0, from step ``first_step`` on.

        ``first_step`` counts batches since the start of training. Starting at ``first_step`` continues with exactly the
        batch an uninterrupted run would have delivered there. The part of an epoch that the caller does not read is
        skipped. Raises ``UserError`` if records become unreadable or too many samples are damaged.
        """
        first_epoch, done = divmod(first_step, max(1, self.steps_per_epoch))
        stream = self._batches(total_epochs, first_step)
        try:
            for epoch in range(first_epoch, total_epochs):
                batches = itertools.islice(stream, self.steps_per_epoch - done)
                done = 0
                yield epoch, batches
                for _ in batches:
                    pass
        finally:
            stream.close()

    def _batches(self, total_epochs: int, first_step: int) -> Generator[Batch, None, None]:
        if first_step >= total_epochs * self.steps_per_epoch:
            return
        rows = self._stored_rows if self.records else self._file_rows
        source = rows(total_epochs, first_step)
        ahead = max(2 * self._threads, 2 * self.batch_size)
        waiting: deque = deque()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="samples")
        try:
            for row in source:
                waiting.append(pool.submit(self._sample, *row))
                if len(waiting) >= ahead + self.batch_size:
                    yield self._stack(waiting)
            while waiting:
                yield self._stack(waiting)
        finally:
            source.close()
            pool.shutdown(wait=True, cancel_futures=True)

    def _stack(self, waiting: deque) -> Batch:
        samples = [waiting.popleft().result() for _ in range(self.batch_size)]
        if len(samples) == 1:
            return {name: array[None] for name, array in samples[0].items()}
        return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}

    def _file_rows(self, total_epochs: int, first_step: int) -> _Rows:
        first_epoch, first = divmod(first_step, self.steps_per_epoch)
        for epoch in range(first_epoch, total_epochs):
            for index in self._own_rows[first:]:
                yield epoch, index, None
            first = 0

    def _stored_rows(self, total_epochs: int, first_step: int) -> _Rows:
        first_epoch, step = divmod(first_step, self.steps_per_epoch)
        used = self.steps_per_epoch * self.batch_size
        first = step * self.batch_size
        with self._readable():
            share, iterator = self._open_iterator(total_epochs, first_epoch, first)
        try:
            for epoch in range(first_epoch, total_epochs):
                for position in range(first, share):
                    with self._readable():
                        index, *blobs = next(iterator)
                    if position < used:
                        data = [blob.tobytes() for blob in blobs]
                        yield epoch, int(index), dict(zip(self._stored.columns, data, strict=True))
                first = 0
                if epoch + 1 < total_epochs:
                    next(iterator, None)  # the mark between two epochs
        finally:
            with contextlib.suppress(Exception):
                iterator.stop()

    def _open_iterator(self, total_epochs: int, first_epoch: int, first: int) -> tuple[int, Any]:
        import mindspore.dataset as ds  # here, because importing MindSpore takes seconds

        # Setting MindSpore's data seed also reseeds Python's and NumPy's global generators.
        python_state, numpy_state, old_seed = random.getstate(), np.random.get_state(), ds.config.get_seed()
        # MindSpore adds the epoch to the seed; scaling it keeps seed 1 from repeating seed 0 an epoch later.
        ds.config.set_seed(self._seed * 1_000_003 % 2**32)
        try:
            dataset = ds.MindDataset(
                list(self._stored.files),
                columns_list=["id", *self._stored.columns],
                shuffle=self._shuffle,
                num_shards=self.world,
                shard_id=self.rank,
                num_parallel_workers=1,
            )
            share = dataset.get_dataset_size()
            if first_epoch or first:
                dataset.set_init_step(first_epoch * share + first)
            return share, dataset.create_tuple_iterator(num_epochs=total_epochs, output_numpy=True)
        finally:
            ds.config.set_seed(old_seed)
            random.setstate(python_state)
            np.random.set_state(numpy_state)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError, StopIteration) as error:
            folder = Path(self._stored.files[0]).parent
            reason = str(error).strip().splitlines()
            raise UserError(
                f"the records in {folder} cannot be read ({reason[-1] if reason else 'they ended early'}): delete that "
                "folder, and they are built again"
            ) from error

    def _sample(self, epoch: int, index: int, blobs: dict[str, bytes] | None) -> Batch:
        if blobs is None:
            sample = self.reader.sample(self.reader.load(index), None)
        else:
            index, arrays = self._stored_arrays(index, blobs)
            sample = self.reader.sample(arrays, np.random.default_rng([self._seed, epoch, index]))
        return sample | {"id": np.int32(index).reshape(())}

    def _stored_arrays(self, index: int, blobs: dict[str, bytes]) -> tuple[int, dict[str, np.ndarray]]:
        try:
            return index, {name: unpack(blob) for name, blob in blobs.items()}
        except (ValueError, cv2.error) as error:
            self._count_problem(index, f"the stored sample {self.name(index)} is damaged ({error})")
        # Every rank needs a full batch at every step, so a damaged sample is replaced: from its own files if they are
        # still good, else by the next sample.
        for candidate in range(index, index + min(_SUBSTITUTES, self.num_samples)):
            candidate %= self.num_samples
            with contextlib.suppress(UserError):
                arrays = self.reader.load(candidate)
                if self.reader.final_size(arrays) == self.size:
                    return candidate, arrays
        raise UserError(f"{self._problems[index]} and its files cannot be read either: check the disk")

    def _count_problem(self, index: int, problem: str) -> None:
        if index not in self._problems:
            self._problems[index] = problem
            get_logger().warning(f"{problem}; its files are read instead")
        if len(self._problems) > self._tolerance * self.num_samples:
            folder = Path(self._stored.files[0]).parent
            raise UserError(
                f"{len(self._problems)} of {counted(self.num_samples, 'stored sample')} damaged, more than "
                f"{self._tolerance:.0%} ({problem}): check the disk and delete {folder}, so that they are built again"
            )
