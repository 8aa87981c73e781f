"""A module of functions is a plugin: `plugins=["my_hooks"]`, or `plugins=["path/to/my_hooks.py"]`."""

from torchbus_hookspecs import hookimpl


@hookimpl
def on_train_epoch_end(trainer):  # take only the arguments you need
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    trainer.print(f"epoch {trainer.current_epoch}: learning rate {rate:.2g}")


@hookimpl(ranks="zero")
def on_checkpoint_committed(filepath):
    print(f"saved {filepath}")
