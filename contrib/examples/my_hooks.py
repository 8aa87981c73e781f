"""A module of functions is a plugin: `plugins=["my_hooks"]`, or `plugins=["path/to/my_hooks.py"]`."""

from torchbus_hookspecs import hookimpl


@hookimpl
def on_train_epoch_end(trainer):  # take only the arguments you need
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    trainer.print(f"{trainer.global_step} steps, learning rate {rate:.2g}")


@hookimpl
def on_checkpoint_committed(trainer, filepath):
    trainer.print(f"saved {filepath}")
