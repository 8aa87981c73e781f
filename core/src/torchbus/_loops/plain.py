"""The training loop where a run asks for nothing but training.

``FitLoop.run_batch`` does all that may belong to a batch. Few batches need it: most are followed by no validation, no logging
step and no end, and most steps are forward, backward, step, with nobody in between. Those run here, with the same result.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from torch import Tensor, is_grad_enabled, set_grad_enabled
from torchbus_hookspecs.events import TrainBatchStart

from .._defaults import explain_failure
from .feed import Transfer, is_usual
from .optimization import pre_hooks_of

if TYPE_CHECKING:
    from .feed import Fetcher
    from .fit import FitLoop

__all__ = ["plain_until", "run_plain_batches"]

INFINITY = float("inf")


def plain_until(loop: FitLoop) -> int | float:
    """Up to which batch of the epoch each is followed by the next at once; 0 where each has to be looked at.

    It holds until ``bus.changes`` does: plugins, subscriptions, and the trainer's settings that are read here.
    """
    trainer, progress = loop.trainer, loop.progress
    is_looked_at = trainer.should_stop or trainer.received_sigterm or trainer.fast_dev_run
    if is_looked_at or not is_grad_enabled() or loop.schedulers.follow_steps:
        return 0
    left = [
        loop.max_batches - 1 - progress.batches_ready,  # the last batch closes the epoch
        loop.alarms.due - progress.total_batches,
    ]
    if trainer.max_steps != -1:
        left.append(trainer.max_steps - progress.global_step)
    if loop.has_loggers:
        left.append(loop.output.steps_left())
    if loop.is_validated_epoch:
        left.append(loop.interval.batches_left())
    return progress.batches_ready + min(left)


def run_plain_batches(loop: FitLoop, fetcher: Fetcher, until: int | float) -> bool:
    """Run batches until so many of the epoch are done, or somebody makes a change; then do what may follow the last of them.

    Returns:
        Whether the epoch goes on.
    """
    trainer, bus, module = loop.trainer, loop.trainer.bus, loop.module
    progress, results, optimization = loop.progress, loop.results, loop.optimization
    train_batch_start, train_batch_end, training_step = (
        loop.train_batch_start,
        loop.train_batch_end,
        optimization.training_step,
    )
    hears_start, hears_end = bus.is_heard(TrainBatchStart), optimization.needs_outputs
    is_on_cpu = isinstance(loop.transfer, Transfer) and loop.transfer.is_idle()
    steps_schedulers = bool(loop.schedulers.configs)
    optimizer = optimization.plain_optimizer
    assert optimizer is not None  # or there is no plain step
    own_hooks, all_hooks = pre_hooks_of(optimizer)
    attributes, changes = vars(optimizer), bus.changes
    step = attributes.get("step")  # schedulers put one there; if it becomes another, it may want its closure
    optimization.outputs, results.in_batches, batch_idx, is_stopped = {}, True, -1, False
    numbers = count(progress.batches_ready) if until == INFINITY else range(progress.batches_ready, int(until))
    for batch_idx, batch in zip(numbers, fetcher.batches, strict=False):
        if fetcher.done:
            return loop.run_fetched(batch, fetcher)
        if not (is_on_cpu and is_usual(batch)):
            if batch is None:
                return loop.run_fetched(batch, fetcher)
            batch = loop.transfer(batch, 0)
        results.batch, progress.batches_ready = batch, batch_idx + 1
        if hears_start:
            if -1 in train_batch_start(trainer, module, batch, batch_idx):
                return loop.skip_epoch()
            if bus.changes != changes or not is_grad_enabled():
                return loop.train_batch(batch, batch_idx, is_last=False)

        returned = training_step(trainer, module, batch, batch_idx)
        if bus.changes != changes:
            optimization.finish_step(returned, batch, batch_idx)
        else:
            loss: Tensor | None = returned
            if returned.__class__ is Tensor:
                if hears_end:
                    optimization.outputs = {"loss": returned.detach()}
            else:
                optimization.outputs = {}
                loss = optimization.take(returned)
            optimizer.zero_grad()
            if loss is not None:
                try:
                    loss.backward()  # type: ignore[no-untyped-call]  # torch's own
                except RuntimeError as error:
                    explain_failure(loss, error)
                    raise
            optimizer.step()
        if not is_grad_enabled():  # the training step has switched them off, for itself
            set_grad_enabled(True)
        progress.global_step += 1
        if steps_schedulers:
            loop.schedulers.update("step", plateau=False)

        progress.batches_done = batch_idx + 1
        if not (hears_end or own_hooks or all_hooks or bus.changes != changes):
            progress.batches_stepped += 1
            continue
        progress.phase = "validation"  # from a checkpoint that is saved now, a run goes on behind the batch
        train_batch_end(trainer, module, optimization.outputs, batch, batch_idx)
        progress.phase = "batch"
        progress.batches_stepped += 1
        is_replaced = attributes.get("step") is not step
        is_followed = own_hooks or all_hooks or bus.changes != changes
        is_stopped = bool(is_replaced or is_followed or not is_grad_enabled())
        if is_stopped:
            break
    if batch_idx < 0:
        return False
    progress.phase = "validation"
    progress.batches_stepped -= 1  # what follows is told of the step as one under way
    loop.log_step(is_accumulating=False)
    loop.finish_batch(is_accumulating=False, validate=True)
    return is_stopped or progress.batches_ready >= until  # or the loader had fewer
