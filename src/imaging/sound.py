"""The sound of one video under the images of another."""

__all__ = ["add_sound"]

import heapq
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..utils.files import temporary_name


def add_sound(silent: Path, source: Path) -> str:
    """Put the first sound track of ``source`` into the video ``silent``, as it is, as far as its images last.

    The file is replaced as a whole, or stays as it was where PyAV is not installed, ``source`` has no sound or MP4
    cannot hold it.

    Returns:
        what happened, in words that follow the file's name.
    """
    try:
        import av
    except ImportError:
        return "without sound: pip install av takes it along"
    joined = temporary_name(silent)
    joined = joined.with_name(f"{joined.name}{silent.suffix}")
    try:
        with av.open(str(source)) as given, av.open(str(silent)) as drawn:
            if not given.streams.audio:
                return f"without sound, like {source.name}"
            with av.open(str(joined), "w", format="mp4") as both:
                tracks = [(drawn, drawn.streams.video[0]), (given, given.streams.audio[0])]
                last = float(drawn.streams.video[0].duration * drawn.streams.video[0].time_base)
                packets = [
                    _packets(container, stream, both.add_stream_from_template(stream), last)
                    for container, stream in tracks
                ]
                for _, packet in heapq.merge(*packets, key=lambda pair: pair[0]):
                    both.mux(packet)
        os.replace(joined, silent)
        return f"with the sound of {source.name}"
    except (av.FFmpegError, ValueError) as error:
        return f"without sound: that of {source.name} does not go into MP4 ({error})"
    finally:
        joined.unlink(missing_ok=True)


def _packets(container: Any, stream: Any, target: Any, last: float) -> Iterator[tuple[float, Any]]:
    """Packets of a stream up to a time in seconds, for another file, each with its time of decoding."""
    for packet in container.demux(stream):
        if packet.dts is None:  # the end
            continue
        at = float(packet.dts * stream.time_base)
        if at >= last:
            return
        packet.stream = target
        yield at, packet
