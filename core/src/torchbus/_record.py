"""What the bus keeps of a plugin that is registered."""

from __future__ import annotations

from dataclasses import dataclass

from torchbus_hookspecs import FailurePolicy

__all__ = ["Plugin"]


@dataclass(slots=True, eq=False)
class Plugin:
    """A registered plugin.

    Attributes:
        name: its instance name.
        object: the callback, logger, module of hookimpls, …
        policy: what happens when it raises.
        origin: its distribution and version, as text; empty when it came as an object of the script's own.
        is_user_code: the LightningModule or the datamodule of the run: its failures are simply the script's.
        is_named: whether the user chose the instance name, so that its state is kept under it.
        strikes: how often it failed under policy ``quarantine``.
        last_failure: hook and error of its last failure.
        before, after: names of plugins that it runs before and after, in every hook.
    """

    name: str
    object: object
    policy: FailurePolicy = "raise"
    origin: str = ""
    is_user_code: bool = False
    is_named: bool = False
    strikes: int = 0
    last_failure: tuple[str, BaseException] | None = None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"`{self.name}` ({self.origin})" if self.origin else f"`{self.name}`"
