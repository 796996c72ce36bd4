"""The training loop, written once for all systems."""

__all__ = ["train"]

import contextlib
import itertools
import json
import time
from pathlib import Path

import numpy as np
from mindspore import Tensor

from ..contracts.system import System
from ..dataset.pipeline import Pipeline
from ..gallery.gallery import Gallery
from ..models.parameters import count_parameters, load_arrays, state_arrays
from ..options.config import Config
from ..runs.checkpoint_reader import Checkpoint, CheckpointReader
from ..runs.checkpoints import CheckpointStore, Position
from ..runs.folder import claim_run_folder
from ..runs.log import RunLog
from ..utils.errors import UserError
from ..utils.files import atomic_write
from ..utils.logging import get_logger
from ..utils.progress import Progress, compiling
from ..utils.runtime import Device, peak_memory_gib, start
from ..utils.text import counted
from .checks import check_start
from .clock import HourClock
from .distribution import Workers
from .guards import FiniteWatch, StopRequest
from .overflow import largest_number
from .pretrain import load_pretrained
from .profiling import StepProfiler
from .schedules import learning_rate_factor, total_epochs, total_steps
from .state import apply_state, collect_state, kept_parameters, trained_parameters
from .steps import StepOptions, TrainStep

# steps between two reads of values on the device: overflow counts, stop requests of other workers
_LOOK_EVERY = 10


def train(system: type[System], config: Config) -> int:
    """Train until the last epoch, or until SIGTERM or Ctrl-C, and leave a checkpoint.

    Returns:
        Exit status: 0 when the run is complete, 128 plus the signal's number when it was stopped.
    Raises:
        UserError: anything wrong with options, data or files, before the first step wherever that can be known.
    """
    if config.debug:
        config = config.replace(niter=1, niter_decay=0, max_dataset_size=10, print_freq=1, display_freq=1)
    config = _with_loss_scale(config)
    # quick checks first: building a network or record takes minutes
    check_start(system, config)
    if config.check_start:
        get_logger().info("options, data, files and packages are there: the run can start")
        return 0
    device = start(config, join=config.run_distribute)
    # checkpoints hold what the device did, which may be less than what was asked for
    config = config.replace(conv_precision=device.conv_precision)
    folder = Path(config.save_ckpt_dir) / config.name
    lock = None
    if device.rank == 0:
        fixed = {"model": system.description.name} | {key: config[key] for key in system.architecture_keys}
        lock = claim_run_folder(folder, fixed, config.continue_train, config.schema.defaults())
    try:
        return _Trainer(system, config, device, folder).run()
    finally:
        if lock:
            # a failed start leaves no folder that looks like a run
            lock.withdraw()


def _with_loss_scale(config: Config) -> Config:
    """In fp16, where gradients below 6e-8 vanish, dynamic loss scaling, unless a scale is given."""
    given = config.loss_scale != 1.0 or config.dynamic_loss_scale
    if config.precision != "fp16" or given or {"loss_scale", "dynamic_loss_scale"} & config.explicit:
        return config
    return config.replace(loss_scale=2.0**16, dynamic_loss_scale=True)


class _Trainer:
    def __init__(self, system: type[System], config: Config, device: Device, folder: Path):
        self.device, self.folder = device, folder
        self.workers = Workers(device)
        self.say = get_logger(device.rank).info
        self.store = CheckpointStore(folder, config.keep_last, config.save_epoch_freq)
        checkpoint = pretrained = None
        if config.continue_train and self.store.list():
            checkpoint = self.store.load("latest")
        elif config.continue_train:
            self.say(f"{folder} holds no checkpoint yet: beginning at step 0")
        if config.load_pretrain and not checkpoint:
            pretrained = CheckpointReader(config.load_pretrain).load(config.which_epoch, with_state=False)
        self.config = config = system.companions.complete(
            config, checkpoint.config if checkpoint else None, pretrained.config if pretrained else None
        )
        # weights before data: a mismatch is found in seconds, and building records may take an hour
        self.system = system(config, training=True)
        if checkpoint:
            self._restore(checkpoint)
        if pretrained:
            copies_to = folder if self.workers.is_first else None
            load_pretrained(self.system, pretrained, Path(config.load_pretrain), copies_to, self.say)
        self.loaded = bool(checkpoint or pretrained)
        request = system.request(config, True)
        # so is what does not fit the size of the samples
        size = system.data.first_size(request, config, config.phase)
        objective = self.system.objective(size) if size else None
        self.data: Pipeline = system.data.open(request, config, config.phase, device.rank, device.world)
        self.steps_per_epoch = self.data.steps_per_epoch
        self.epochs = total_epochs(config, self.steps_per_epoch)
        self.total = total_steps(config, self.steps_per_epoch)
        self.samples = config.batch_size * device.world
        self.objective = objective or self.system.objective(self.data.size)
        self.options = StepOptions(
            config.loss_scale,
            config.dynamic_loss_scale,
            accumulation=self.objective.accumulation(device.world) or config.accumulation,
            clip_norm=config.clip_norm,
            world=device.world,
            clip_jointly=self.objective.clips_jointly,
            saturates_at=largest_number(config.precision, device),
        )
        self.first_step = 0
        self.state: dict[str, np.ndarray] = {}
        if checkpoint:
            self._go_on(checkpoint)
        # a run that is complete says so
        span = config.profile_steps if self.first_step < self.total else ""
        self.profiler = StepProfiler(span, self.first_step, self.total, folder, device, self.say)
        self.log = RunLog(folder, device.rank, config.tf_log)
        self.gallery = None
        if self.workers.is_first:
            atomic_write(folder / "config.yaml", config.dump().encode())
            if not config.no_html:
                self.gallery = Gallery(folder, config.name)
                self.gallery.set_options(config.to_dict())
        self._step: TrainStep | None = None
        self._partial: TrainStep | None = None
        self.phase: object = None
        self.rates: list[float] = []
        self.watch: FiniteWatch
        self.clocks = {
            "images": HourClock(config.images_every_hours),
            "metrics": HourClock(config.metrics_every_hours),
            "checkpoint": HourClock(config.checkpoint_every_hours),
        }

    @property
    def step(self) -> TrainStep:
        """The step of the current phase; there is one from the first batch on."""
        if self._step is None:
            raise RuntimeError("no step before the first batch")
        return self._step

    # -- before the first step ---------------------------------------------------------------------------------

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.system.companions.adopt(self.system, checkpoint.networks, checkpoint.config)
        for name, cell in self.system.networks.items():
            if name not in checkpoint.networks:
                raise UserError(f"{self.folder}: checkpoint {checkpoint.tag} has no network {name}")
            load_arrays(cell, checkpoint.networks[name], source=str(checkpoint.files[f"net_{name}"]))

    def _go_on(self, checkpoint: Checkpoint) -> None:
        self.state = checkpoint.state
        position = checkpoint.position
        stored = self.state.get("run.steps_per_epoch", np.array([self.steps_per_epoch]))
        if stored.shape != (1,) or stored.dtype.kind not in "iu" or stored[0] < 1:
            raise UserError(
                f"{self.folder}: the state of checkpoint {checkpoint.tag} does not say how many steps an epoch had: "
                "it was changed after it was saved; restore it from a copy"
            )
        per_epoch = int(stored[0])
        inside = position.iteration * self.steps_per_epoch // per_epoch
        self.first_step = position.completed_epochs * self.steps_per_epoch + inside
        if per_epoch != self.steps_per_epoch:
            before = position.completed_epochs * per_epoch + position.iteration
            self.say(
                f"an epoch now has {counted(self.steps_per_epoch, 'step')}, not {per_epoch}, and epochs count: step "
                f"{before} of the checkpoint is now step {self.first_step}, at the same fraction of its epoch"
            )
        self.say(f"continuing {self.folder} from checkpoint {checkpoint.tag} (step {self.first_step})")

    def _describe(self) -> None:
        for name, cell in self.system.networks.items():
            self.say(f"network {name}: {count_parameters(cell):,} parameters")
        self.say(
            f"{counted(self.data.num_samples, 'sample')}, {counted(self.steps_per_epoch, 'step')} an epoch, "
            f"epochs 1 to {self.config.niter} at lr {self.config.lr}, decay over {self.config.niter_decay} more"
        )

    def _prepare_step(self, epoch: int) -> None:
        """Build the step of this phase of the training, unless the current one is it."""
        phase = self.objective.phase(epoch)
        if self._step is not None and phase == self.phase:
            return
        self.phase, groups = phase, self.objective.groups(epoch)
        self.rates = [group.lr for group in groups]
        if self._step is not None and [g.name for g in groups] == [g.name for g in self._step.groups]:
            return
        if self._step is not None:
            self.state = collect_state(self.objective, self._step)
            self.say(f"epoch {epoch}: now training {', '.join(g.name for g in groups)}")
        gradients = self.objective.gradients(groups)
        kept = kept_parameters(self.system), tuple(self.objective.buffers.values())
        self._step = step = TrainStep(gradients, groups, self.options, kept=kept)
        self._partial = None
        if self.options.accumulation > 1:
            self._partial = TrainStep(gradients, groups, self.options, applies=False, sums=step.sums, kept=kept)
            self._partial.scale = step.scale
        apply_state(self.objective, step, self.state)
        self.state = {}
        self.system.set_train(True)
        self.workers.share(trained_parameters(self.system, self.objective, step))
        self.watch = FiniteWatch(self.folder, self.objective.loss_names, tuple(g.name for g in groups))

    # -- the loop ----------------------------------------------------------------------------------------------

    def run(self) -> int:
        self._describe()
        if self.config.dry_run:
            self.say("dry run: everything is in place, nothing was trained")
            return 0
        if self.first_step >= self.total:
            self.say(
                f"the run is complete, with {counted(self.epochs, 'epoch')} done: raise --niter or --niter_decay to "
                "continue"
            )
            return 0
        self.log.truncate_after(self.first_step)
        if self.gallery:
            epochs_done, inside = divmod(self.first_step, self.steps_per_epoch)
            self.gallery.truncate_training_after(epochs_done + 1, inside)
        done = self.first_step
        self.reported, self.reported_at = done, time.perf_counter()
        first = compiling(self.config.mode, self.system.networks)
        with (
            StopRequest() as stop,
            contextlib.closing(self.profiler),
            Progress(self.total, initial=done, enabled=self.workers.is_first, first=first) as progress,
        ):
            for epoch, batches in self.data.epochs(self.epochs, self.first_step):
                epoch += 1
                progress.describe(f"epoch {epoch}/{self.epochs}")
                for batch in batches:
                    self.profiler.before(done + 1)
                    losses = self._train_one(batch, epoch, done)
                    done += 1
                    self.profiler.after(done)
                    iteration = done - (epoch - 1) * self.steps_per_epoch
                    self._report(progress, batch, losses, epoch, iteration, done)
                    if self._stops(stop, done):
                        self._save(self._position(epoch, iteration), done)
                        self.say(f"stopped after step {done}; --continue_train True goes on from there")
                        # the launcher kills every worker as soon as one has left: none may while the first one saves
                        self.workers.any(True)
                        return 128 + stop.number if stop.number else 0
                    saves = self._due(done, self.config.save_latest_freq) or self._agreed("checkpoint", done)
                    if saves and iteration < self.steps_per_epoch:
                        self._save(Position(epoch, iteration), done)
                    if done == self.total:
                        break
                if done in (self.total, epoch * self.steps_per_epoch):
                    self._save(self._position(epoch, done - (epoch - 1) * self.steps_per_epoch), done)
                if done == self.total:
                    break
        self._finish()
        return 0

    def _train_one(self, batch: dict[str, np.ndarray], epoch: int, done: int) -> Tensor:
        if self._step is None and not self.loaded:
            self.objective.initialise(self._first_samples(batch))
        arrays = self.objective.inputs(batch, done)
        self._prepare_step(epoch)
        factor = learning_rate_factor(self.config, epoch, done / self.total)
        self._set_learning_rate(factor)
        inputs = [Tensor(array) for array in arrays]
        applies = (done + 1) % self.options.accumulation == 0
        losses, norms, self.outputs = (self.step if applies or self._partial is None else self._partial)(*inputs)
        if applies:
            self.objective.after_update(epoch, self.step.finite)
        self.watch.remember(done + 1, [self.data.name(int(i)) for i in batch["id"]], losses, norms)
        return losses

    def _first_samples(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The first batches joined, as many as data-dependent initialisation needs."""
        count = -(-self.objective.initial_samples // len(batch["id"]))
        if count <= 1:
            return batch
        epochs = self.data.epochs(1)
        _, batches = next(epochs)
        first = list(itertools.islice(batches, count))
        epochs.close()
        return {name: np.concatenate([part[name] for part in first]) for name in batch}

    def _set_learning_rate(self, factor: float) -> None:
        for full_rate, optimizer in zip(self.rates, self.step.optimizers, strict=True):
            optimizer.set_rate(full_rate * factor)

    def _due(self, done: int, samples: int) -> bool:
        """Whether step ``done`` crosses a multiple of ``samples`` samples since the start of the run; 0 is never."""
        if samples == 0:
            return False
        now, before = done * self.samples, (done - 1) * self.samples
        return now // samples > before // samples

    def _report(
        self, progress: Progress, batch: dict[str, np.ndarray], losses: Tensor, epoch: int, iteration: int, done: int
    ) -> None:
        if self.watch.is_due(done):
            try:
                bad_steps, scale = int(self.step.bad_steps.asnumpy()), float(self.step.scale.asnumpy())
                self.watch.check(bad_steps, scale, done, self.workers.is_first)
            except UserError as error:
                raise UserError(f"{error} {self.objective.explain_failure(batch, done - 1)}".rstrip()) from None
        numbers = {}
        if self._due(done, self.config.print_freq) or done == self.first_step + 1:
            numbers = dict(zip(self.objective.loss_names, losses.asnumpy().tolist(), strict=True))
            now = time.perf_counter()
            seconds, steps = now - self.reported_at, done - self.reported
            self.reported_at, self.reported = now, done
            extra = {
                "time": seconds / steps / self.config.batch_size,
                "learning_rate": float(self.step.optimizers[0].current_rate),
                "samples_per_second": steps * self.samples / max(seconds, 1e-9),
                "memory_gib": peak_memory_gib(self.device),
                "bad_steps": float(self.step.bad_steps.asnumpy()),
                "loss_scale": float(self.step.scale.asnumpy()),
            }
            for group, optimizer in zip(self.step.groups, self.step.optimizers, strict=True):
                extra[f"lr/{group.name}"] = float(optimizer.current_rate)
            line = self.log.scalars(done, epoch, iteration, numbers, extra)
            self.say(f"{line} ({extra['samples_per_second']:.2f} samples/s, {extra['memory_gib']:.1f} GiB)")
        shows = self._due(done, self.config.display_freq) or self.clocks["images"].due()
        if self.gallery and (shows or done == self.first_step + 1):
            outputs = self.objective.outputs(self.outputs)
            self.gallery.add_training(epoch, iteration, self.system.visuals(batch, outputs))
            self.gallery.set_losses(self.folder / "log.jsonl")
            self.gallery.write(live=True)
        if self._agreed("metrics", done):
            metrics = self.objective.metrics(self.workers)
            self.log.scalars(done, epoch, iteration, {}, metrics)
            self.say(", ".join([f"step {done}", *(f"{name} {value:.4f}" for name, value in metrics.items())]))
        progress.update(1, **numbers)

    def _agreed(self, what: str, done: int) -> bool:
        """Whether ``what`` is due by the first worker's clock: all workers do it after the same step."""
        clock = self.clocks[what]
        if self.workers.world == 1:
            return clock.due()
        looks = clock.seconds > 0 and done % _LOOK_EVERY == 0
        return looks and self.workers.any(self.workers.is_first and clock.due())

    def _stops(self, stop: StopRequest, done: int) -> bool:
        if self.workers.world == 1:
            return bool(stop)
        # all workers must stop after the same step, or the others wait for ever
        return done % _LOOK_EVERY == 0 and self.workers.any(bool(stop))

    # -- checkpoints and the end -------------------------------------------------------------------------------

    def _position(self, epoch: int, iteration: int) -> Position:
        return Position(epoch, 0 if iteration == self.steps_per_epoch else iteration)

    def _save(self, position: Position, done: int) -> None:
        if self.workers.world > 1 and done % self.options.accumulation:
            # all workers continue from one checkpoint, so it holds the mean of their accumulated values
            self.workers.average([p for total in self.step.sums for p in total.totals])
        if self.workers.is_first:
            networks = {name: state_arrays(self.system.networks[name]) for name in self.system.networks}
            state = collect_state(self.objective, self.step)
            state["run.steps_per_epoch"] = np.array([self.steps_per_epoch])
            state["run.step"] = np.array([done])
            info = self.store.save(position, networks, state, self.config.to_dict(), self.system.name)
            self.say(f"saved checkpoint {info.tag} to {self.folder}")

    def _finish(self) -> None:
        self.log.close()
        if self.gallery:
            self.gallery.set_losses(self.folder / "log.jsonl")
            self.say(f"training is complete; see {self.gallery.write()}")
        problems = self.data.problems
        if problems:
            self.say(f"{counted(len(problems), 'sample')} could not be read: {json.dumps(list(problems)[:5])}")
