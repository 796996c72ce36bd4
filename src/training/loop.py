"""The training loop, written once for all systems."""

__all__ = ["train"]

import itertools
import json
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from src.dataset import open_dataset
from src.evaluation.gallery import Gallery
from src.evaluation.periodic import periodic_metrics
from src.models.registry import create_system, system_class
from src.models.state import count_parameters, load_arrays, state_arrays
from src.training.checkpoints import CheckpointStore, Position
from src.training.clock import HourClock
from src.training.distribution import Workers
from src.training.guards import FiniteWatch, StopRequest
from src.training.pretrain import load_pretrained
from src.training.runstate import apply_state, collect_state, trained_parameters
from src.training.schedules import learning_rate_factor, total_epochs, total_steps
from src.training.steps import StepOptions, TrainStep
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.files import atomic_write, claim_run_folder
from src.utils.logging import RunLog, get_logger
from src.utils.progress import Progress
from src.utils.runtime import Device, peak_memory_gib, start

# steps between looks at what only the device knows: overflow counts, stop requests of other workers
_LOOK_EVERY = 10


def train(config: Config) -> int:
    """Train until the last epoch, or until SIGTERM or Ctrl-C, and leave a checkpoint.

    Returns:
        Exit status: 0 when the run is complete, 128 plus the signal's number when it was stopped.
    Raises:
        UserError: anything wrong with options, data or files, before the first step wherever that can be known.
    """
    if config.debug:
        config = config.replace(niter=1, niter_decay=0, max_dataset_size=10, print_freq=1, display_freq=1)
    config = _with_loss_scale(config)
    device = start(config)
    folder = Path(config.save_ckpt_dir) / config.name
    cls = system_class(config.model)
    data = open_dataset(cls.dataset, config, config.phase, device.rank, device.world)
    lock = None
    if device.rank == 0:
        fingerprint = {key: getattr(config, key) for key in cls.architecture_keys}
        lock = claim_run_folder(folder, fingerprint, config.continue_train)
    try:
        return _Trainer(config, device, folder, data).run()
    finally:
        if lock:
            lock.release()


def _with_loss_scale(config: Config) -> Config:
    """In fp16, where gradients below 6e-8 vanish, a scale that finds itself, unless there is one."""
    given = config.loss_scale != 1.0 or config.dynamic_loss_scale
    if config.precision != "fp16" or given or {"loss_scale", "dynamic_loss_scale"} & config.explicit:
        return config
    return config.replace(loss_scale=2.0**16, dynamic_loss_scale=True)


class _Trainer:
    def __init__(self, config: Config, device: Device, folder: Path, data):
        self.device, self.folder, self.data = device, folder, data
        self.workers = Workers(device)
        self.say = get_logger(device.rank).info
        self.store = CheckpointStore(folder, config.keep_last, config.save_epoch_freq)
        checkpoint = self.store.load("latest") if config.continue_train else None
        pretrained = None
        if config.load_pretrain and not checkpoint:
            pretrained = CheckpointStore(config.load_pretrain).load(config.which_epoch, with_state=False)
        config = system_class(config.model).complete_config(
            config, checkpoint.config if checkpoint else None, pretrained.config if pretrained else None
        )
        self.config = config
        self.steps_per_epoch = data.steps_per_epoch
        self.epochs = total_epochs(config, self.steps_per_epoch)
        self.total = total_steps(config, self.steps_per_epoch)
        self.samples = config.batch_size * device.world
        self.system = create_system(config, training=True)
        self.options = StepOptions(
            config.loss_scale,
            config.dynamic_loss_scale,
            1000,
            self.system.accumulation(device.world),
            config.clip_norm,
            device.world,
            self.system.clips_jointly,
        )
        self.first_step, self.state = 0, {}
        if checkpoint:
            self._restore(checkpoint)
        if pretrained:
            copies_to = folder if self.workers.is_first else None
            load_pretrained(self.system, pretrained, Path(config.load_pretrain), copies_to, self.say)
        self.loaded = bool(checkpoint or pretrained)
        self.log = RunLog(folder, device.rank, config.tf_log)
        self.gallery = None
        if self.workers.is_first:
            atomic_write(folder / "config.yaml", config.dump().encode())
            if not config.no_html:
                self.gallery = Gallery(folder, config.name)
                self.gallery.set_options(config.to_dict())
        self.step: TrainStep | None = None
        self.rates: list[float] = []
        self.watch = None
        hours = config.to_dict()
        self.clocks = {
            what: HourClock(hours.get(f"{what}_every_hours", 0.0)) for what in ("images", "metrics", "checkpoint")
        }

    # -- before the first step ---------------------------------------------------------------------------------

    def _restore(self, checkpoint) -> None:
        self.system.adopt_pretrained(checkpoint.networks, checkpoint.config)
        for name, cell in self.system.networks.items():
            if name not in checkpoint.networks:
                raise UserError(f"{self.folder}: checkpoint {checkpoint.tag} has no network {name}")
            load_arrays(cell, checkpoint.networks[name], source=str(checkpoint.files[f"net_{name}"]))
        self.state = checkpoint.state
        position = checkpoint.position
        stored = self.state.get("run.steps_per_epoch", np.array([self.steps_per_epoch]))
        if stored.shape != (1,) or stored.dtype.kind not in "iu" or stored[0] < 1:
            raise UserError(
                f"{self.folder}: the state of checkpoint {checkpoint.tag} does not say how many steps an epoch had: "
                "it was changed after it was saved; restore it from a copy"
            )
        per_epoch = int(stored[0])
        inside = position.iteration
        if inside and per_epoch != self.steps_per_epoch:
            inside = inside * self.steps_per_epoch // per_epoch
            self.say(
                f"an epoch now has {self.steps_per_epoch} steps, not {per_epoch}: going on at the same share of it"
            )
        self.first_step = position.completed_epochs * self.steps_per_epoch + inside
        self.say(f"continuing {self.folder} from checkpoint {checkpoint.tag} (step {self.first_step})")

    def _describe(self) -> None:
        for name, cell in self.system.networks.items():
            self.say(f"network {name}: {count_parameters(cell):,} parameters")
        self.say(
            f"{self.data.num_samples} samples, {self.steps_per_epoch} steps an epoch, "
            f"epochs 1 to {self.config.niter} at lr {self.config.lr}, decay over {self.config.niter_decay} more"
        )

    def _prepare_step(self, epoch: int) -> None:
        """Build the step of this phase of the training, unless the current one is it."""
        groups = self.system.update_groups(epoch)
        self.rates = [group.lr for group in groups]
        if self.step is not None and [g.name for g in groups] == [g.name for g in self.step.groups]:
            return
        if self.step is not None:
            self.state = collect_state(self.system, self.step)
            self.say(f"epoch {epoch}: now training {', '.join(g.name for g in groups)}")
        gradients = self.system.gradients(groups)
        self.step = TrainStep(gradients, groups, self.options)
        self.partial = None
        if self.options.accumulation > 1:
            self.partial = TrainStep(gradients, groups, self.options, applies=False, sums=self.step.sums)
            self.partial.scale = self.step.scale
        apply_state(self.system, self.step, self.state)
        self.state = {}
        self.system.set_train(True)
        self.workers.share(trained_parameters(self.system, self.step))
        self.watch = FiniteWatch(self.folder, self.system.loss_names, tuple(g.name for g in groups))

    # -- the loop ----------------------------------------------------------------------------------------------

    def run(self) -> int:
        self._describe()
        if self.config.dry_run:
            self.say("dry run: everything is in place, nothing was trained")
            return 0
        if self.first_step >= self.total:
            self.say(f"the run is complete: {self.epochs} epochs are done. Raise --niter or --niter_decay to go on.")
            return 0
        self.log.truncate_after(self.first_step)
        if self.gallery:
            epochs_done, inside = divmod(self.first_step, self.steps_per_epoch)
            self.gallery.truncate_training_after(epochs_done + 1, inside)
        done = self.first_step
        self.reported, self.reported_at = done, time.perf_counter()
        with (
            StopRequest() as stop,
            Progress(self.total, initial=done, enabled=self.workers.is_first) as progress,
        ):
            for epoch, batches in self.data.epochs(self.epochs, self.first_step):
                epoch += 1
                progress.describe(f"epoch {epoch}/{self.epochs}")
                for batch in batches:
                    losses = self._train_one(batch, epoch, done)
                    done += 1
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

    def _train_one(self, batch: dict[str, np.ndarray], epoch: int, done: int):
        if self.step is None and not self.loaded:
            self.system.initialise(self._first_samples(batch))
        arrays = self.system.inputs(batch, done)
        self._prepare_step(epoch)
        factor = learning_rate_factor(self.config, epoch, done / self.total)
        self._set_learning_rate(factor)
        inputs = [Tensor(array) for array in arrays]
        applies = (done + 1) % self.options.accumulation == 0
        losses, norms, self.outputs = (self.step if applies or self.partial is None else self.partial)(*inputs)
        if applies:
            self.system.after_update(epoch)
        self.watch.remember(done + 1, [self.data.name(int(i)) for i in batch["id"]], losses, norms)
        return losses

    def _first_samples(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The first batches together, as many as data-dependent initialisation looks at."""
        count = -(-self.system.initial_samples // len(batch["id"]))
        if count <= 1:
            return batch
        epochs = self.data.epochs(1)
        _, batches = next(epochs)
        first = list(itertools.islice(batches, count))
        epochs.close()
        return {name: np.concatenate([part[name] for part in first]) for name in batch}

    def _set_learning_rate(self, factor: float) -> None:
        for full_rate, optimizer in zip(self.rates, self.step.optimizers, strict=True):
            rate = np.float32(full_rate * factor)
            if getattr(optimizer, "current_rate", None) != rate:
                ops.assign(optimizer.learning_rate, Tensor(rate, ms.float32))
                optimizer.current_rate = rate

    def _due(self, done: int, samples: int) -> bool:
        """Whether step ``done`` crosses a multiple of ``samples`` samples since the start of the run; 0 is never."""
        if samples == 0:
            return False
        now, before = done * self.samples, (done - 1) * self.samples
        return now // samples > before // samples

    def _report(self, progress, batch, losses, epoch, iteration, done) -> None:
        if done % _LOOK_EVERY == 0 or done == self.first_step + 1:
            bad = int(self.step.bad_steps.asnumpy())
            try:
                self.watch.check(bad, float(self.step.scale.asnumpy()), self.workers.is_first)
            except UserError as error:
                raise UserError(f"{error} {self.system.explain_failure(batch, done - 1)}".rstrip()) from None
        numbers = {}
        if self._due(done, self.config.print_freq) or done == self.first_step + 1:
            numbers = dict(zip(self.system.loss_names, losses.asnumpy().tolist(), strict=True))
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
            outputs = self.system.training_outputs(self.outputs)
            self.gallery.add_training(epoch, iteration, self.system.visuals(batch, outputs))
            self.gallery.set_losses(self.folder / "log.jsonl")
            self.gallery.write(live=True)
        if self._agreed("metrics", done):
            metrics = periodic_metrics(self.system, self.config, self.workers)
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
        # all workers must leave after the same step, or the others wait for ever
        return done % _LOOK_EVERY == 0 and self.workers.any(bool(stop))

    # -- checkpoints and the end -------------------------------------------------------------------------------

    def _position(self, epoch: int, iteration: int) -> Position:
        return Position(epoch, 0 if iteration == self.steps_per_epoch else iteration)

    def _save(self, position: Position, done: int) -> None:
        if self.workers.world > 1 and done % self.options.accumulation:
            # one checkpoint is what all workers go on from, so it holds the mean of what each has added up
            self.workers.average([p for total in self.step.sums for p in total.totals])
        if self.workers.is_first:
            networks = {name: state_arrays(self.system.networks[name]) for name in self.system.saved_networks}
            state = collect_state(self.system, self.step)
            state["run.steps_per_epoch"] = np.array([self.steps_per_epoch])
            state["run.step"] = np.array([done])
            info = self.store.save(position, networks, state, self.config.to_dict(), self.config.model)
            self.say(f"saved checkpoint {info.tag} to {self.folder}")

    def _finish(self) -> None:
        self.log.close()
        if self.gallery:
            self.gallery.set_losses(self.folder / "log.jsonl")
            self.say(f"training is complete; see {self.gallery.write()}")
        problems = self.data.problems
        if problems:
            self.say(f"{len(problems)} samples could not be read: {json.dumps(list(problems)[:5])}")
