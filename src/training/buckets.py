"""Gradients joined into buckets: fewer kernels than one a parameter, and a handful of all-reduces a step."""

__all__ = ["COLLECTIVES", "Average", "Buckets", "averaging_buckets", "joining_buckets"]

from collections.abc import Sequence

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore.ops.auto_generate import SplitWithSize

# first and last gradient (exclusive)
_Span = tuple[int, int]

#: most all-reduces of one training step
COLLECTIVES = 8
# values of a bucket that travels: with fewer, time goes into starting the collective (64 MiB in float32)
_TRAVELS = 1 << 24
# copying so many values into a bucket and back takes longer than starting two more kernels (4 MiB read and written)
_STAYS = 1 << 18
# tensors of one join or split: CANN's kernels take no more at once, and compiling a split takes time with each
_MOST = 32


class Buckets(nn.Cell):
    """The gradients of one group in buckets. A bucket is a flat tensor, or one gradient as it is.

    Many gradients become a bucket in two stages. Everything is a map, because compiled loops nest a call for each turn,
    and large networks have thousands of parameters.

    Args:
        sizes: numbers of values of the gradients.
        chunks: gradients that are joined first, at most 32 each, in order and without gaps.
        spans: chunks that are joined to a bucket; None where each is one.
    """

    def __init__(self, sizes: Sequence[int], chunks: Sequence[_Span], spans: Sequence[_Span] | None = None):
        super().__init__()
        self.chunks = tuple(chunks)
        self.parts, chunk_sizes = _parts(sizes, chunks)
        self.first, self.last = tuple(first for first, _ in chunks), tuple(last for _, last in chunks)
        self.numbers = tuple(range(len(chunks)))
        self.has_stages = spans is not None and len(spans) < len(chunks)
        # every bucket is one gradient as it is: maps that join and part nothing would double the time of compiling
        self.alone = not self.has_stages and len(chunks) == len(sizes)
        #: numbers of values of the buckets
        self.sizes = chunk_sizes
        if spans is not None and self.has_stages:
            self.bucket_parts, self.sizes = _parts(chunk_sizes, spans)
            self.spans = tuple(spans)
        # MindSpore has no kernel that splits into unequal parts on CUDA
        self.slices = ms.get_context("device_target") == "GPU"
        self.map = ops.HyperMap()

    def join(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The buckets of ``gradients``."""
        if self.alone:
            return gradients
        chunks = self.map(ops.partial(_join, gradients), self.first, self.last)
        if not self.has_stages:
            return chunks
        buckets = ()
        for first, last in self.spans:
            buckets = buckets + (_join(chunks, first, last),)
        return buckets

    def part(self, buckets: tuple[Tensor, ...]) -> tuple:
        """The gradients of each chunk, flat where there are several; of gradients that stay alone no tuples of one."""
        if self.alone:
            return buckets
        chunks = buckets
        if self.has_stages:
            chunks = ()
            for i in range(len(self.spans)):
                chunks = chunks + _part(self.slices, self.bucket_parts, buckets, i)
        return self.map(ops.partial(_part, self.slices, self.parts, chunks), self.numbers)

    def nest(self, values: Sequence) -> tuple:
        """One value a gradient, in the form that :meth:`part` returns."""
        if self.alone:
            return tuple(values)
        return tuple(tuple(values[first:last]) for first, last in self.chunks)


def joining_buckets(groups: Sequence[Sequence[int]], stays: int | None = None) -> list[Buckets]:
    """For one device, from the sizes of each group's gradients: small neighbours are joined, the others stay alone.

    Gradients of ``stays`` values and more are not small. None is the device's choice: Ascend takes longer to start a
    kernel than to run a small one, and hosts gain nothing.
    """
    if stays is None:
        stays = _STAYS if ms.get_context("device_target") == "Ascend" else 0
    found = []
    for sizes in groups:
        chunks: list[_Span] = []
        for i, size in enumerate(sizes):
            first, last = chunks[-1] if chunks else (0, 0)
            if chunks and size < stays and sizes[first] < stays and last - first < _MOST:
                chunks[-1] = (first, i + 1)
            else:
                chunks.append((i, i + 1))
        found.append(Buckets(sizes, chunks))
    return found


def averaging_buckets(groups: Sequence[Sequence[int]]) -> list[Buckets]:
    """For several devices, from the sizes of each group's gradients: at most ``COLLECTIVES`` in all.

    A bucket holds 64 MiB or, of large networks, its share; its last gradient may go beyond that.
    """
    total = sum(map(sum, groups))
    limit = max(_TRAVELS, -(-total // max(COLLECTIVES - len(groups), 1)))
    found = []
    for sizes in groups:
        chunks: list[_Span] = []
        spans: list[_Span] = []
        first = values = 0
        for i, size in enumerate(sizes):
            values += size
            if values >= limit * (len(spans) + 1) or i == len(sizes) - 1:
                begins = len(chunks)
                chunks += [(k, min(k + _MOST, i + 1)) for k in range(first, i + 1, _MOST)]
                spans.append((begins, len(chunks)))
                first = i + 1
        found.append(Buckets(sizes, chunks, spans))
    return found


class Average(nn.Cell):
    """``construct(losses, groups) -> (losses, groups)``: sums over all devices of losses and buckets of all groups.

    The vector of losses travels in the smallest bucket.
    """

    def __init__(self, groups: Sequence[Buckets]):
        super().__init__()
        places = [(size, i, k) for i, buckets in enumerate(groups) for k, size in enumerate(buckets.sizes)]
        self.carrier_size, self.carrier_group, self.carrier = min(places)
        self.all_reduce = ops.AllReduce()
        self.split = SplitWithSize()
        self.map = ops.HyperMap()

    def construct(
        self, losses: Tensor, groups: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[Tensor, tuple[tuple[Tensor, ...], ...]]:
        reduced = ()
        for i in range(len(groups)):
            group, k = groups[i], self.carrier
            if i == self.carrier_group:
                joined = ops.concat((group[k].reshape(-1), losses))
                group = self.map(self.all_reduce, group[:k] + (joined,) + group[k + 1 :])
                losses = group[k][self.carrier_size :]
                group = group[:k] + (group[k][: self.carrier_size],) + group[k + 1 :]
            else:
                group = self.map(self.all_reduce, group)
            reduced = reduced + (group,)
        return losses, reduced


def _parts(sizes: Sequence[int], spans: Sequence[_Span]) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    parts = tuple(tuple(sizes[first:last]) for first, last in spans)
    return parts, tuple(map(sum, parts))


_map = ops.HyperMap()
_split = SplitWithSize()


def _flat(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1)


def _join(tensors: tuple[Tensor, ...], first: int, last: int) -> Tensor:
    if last - first == 1:
        return tensors[first]
    return ops.concat(_map(_flat, tensors[first:last]))


def _part(slices: bool, parts: tuple[tuple[int, ...], ...], joined: tuple[Tensor, ...], i: int) -> tuple[Tensor, ...]:
    if len(parts[i]) == 1:
        return (joined[i],)
    if slices:
        return ops.split(joined[i], parts[i])
    return _split(joined[i], parts[i], 0)
