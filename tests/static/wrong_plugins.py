"""Plugins that do not fit the contract, each in one way, and who sees it."""

from __future__ import annotations

from torchbus import MisconfigurationException
from torchbus._errors import PluginValidationError

from .wrong import Wrong

NAMES = "a hook is found by its name, and names are no types"
ANY_OBJECT = "a plugin may be any object"
NO_EXCLUSION = "a type can say what a function must return, not what it must not"

PLUGINS: dict[str, Wrong] = {
    "a_misspelt_hook": Wrong(
        """
        class Mine:
            @hookimpl
            def on_train_batch_ends(self, batch_idx: int) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "no hook `on_train_batch_ends`", "Did you mean `on_train_batch_end`"),
        NAMES,
    ),
    "an_argument_that_the_hook_lacks": Wrong(
        """
        class Mine:
            @hookimpl
            def on_train_batch_end(self, batch_index: int) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_train_batch_end` has no argument `batch_index`", "Did you mean `batch_idx`"),
        NAMES,
    ),
    "a_callback_method_with_too_few_parameters": Wrong(
        """
        class Mine(Callback):
            def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        (
            "mine: ",
            "`on_train_batch_end` takes 2 arguments",
            "write `def on_train_batch_end(self, trainer, pl_module, ",
        ),
        {2: "override"},
    ),
    "a_callback_method_that_needs_more": Wrong(
        """
        class Mine(Callback):
            def on_train_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_train_start` needs `batch`", "called with: trainer, pl_module"),
        {2: "override"},
    ),
    "a_callback_method_that_needs_a_keyword": Wrong(
        """
        class Mine(Callback):
            def on_fit_end(self, trainer: Trainer, pl_module: LightningModule, *, module: Any) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_fit_end` needs `module`", "Did you mean `pl_module`"),
        {2: "override"},
    ),
    "a_callback_method_whose_name_is_nearly_a_hooks": Wrong(
        """
        class Mine(Callback):
            def on_train_epoch_ends(self, trainer: Trainer, pl_module: LightningModule) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "Mine.on_train_epoch_ends would never be called", "Did you mean `on_train_epoch_end`"),
        "a class may have methods of its own",
    ),
    "a_hook_that_callbacks_have_only_if_marked": Wrong(
        """
        class Mine(Callback):
            def configure_optimizers(self) -> Any: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "Mine.configure_optimizers would never be called", "mark it with `@hookimpl`"),
        "a class may have methods of its own",
    ),
    "ranks_that_do_not_exist": Wrong(
        """
        class Mine:
            @hookimpl(ranks="one")
            def on_train_start(self) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        ValueError,
        ("Mine.on_train_start", "ranks='one'", "'all' or 'zero'"),
        {2: "call-overload"},
    ),
    "a_name_in_place_of_a_tuple_of_names": Wrong(
        """
        class Mine:
            @hookimpl(before="early_stopping")
            def on_train_start(self) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        TypeError,
        ("Mine.on_train_start", "before='early_stopping'", "('early_stopping',)"),
        {2: "call-overload"},
    ),
    "a_name_in_place_of_a_tuple_of_names_for_a_class": Wrong(
        """
        class Mine(Callback):
            after = "early_stopping"
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`after` is 'early_stopping'", "('early_stopping',)"),
        {2: "assignment"},
    ),
    "a_name_of_a_hook_in_place_of_a_function": Wrong(
        """
        class Mine:
            @hookimpl("on_train_start")
            def begin(self) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        TypeError,
        ("hookimpl('on_train_start')", "marks functions", "@hookimpl(specname='on_train_start')"),
        {2: "call-overload"},
    ),
    "a_wrapper_that_does_not_yield": Wrong(
        """
        class Mine:
            @hookimpl(wrapper=True)
            def on_train_start(self) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_train_start` is marked as a wrapper", "write `result = yield`"),
        {2: "type-var"},
    ),
    "both_styles_of_wrapper": Wrong(
        """
        class Mine:
            @hookimpl(wrapper=True, hookwrapper=True)
            def on_train_start(self) -> Generator[None, Any, Any]:
                yield
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_train_start` is marked with `wrapper` and `hookwrapper`", "keep `wrapper`"),
        {2: "call-overload"},
    ),
    "a_generator_that_is_no_wrapper": Wrong(
        """
        class Mine:
            @hookimpl
            def on_train_start(self) -> Generator[None, Any, Any]:
                yield
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_train_start` has a `yield`", "@hookimpl(wrapper=True)"),
        NO_EXCLUSION,
    ),
    "an_async_hook": Wrong(
        """
        class Mine:
            @hookimpl
            async def on_train_start(self) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_train_start` is an `async def`", "never run", "write `def`"),
        NO_EXCLUSION,
    ),
    "an_async_callback_method": Wrong(
        """
        class Mine(Callback):
            async def on_train_start(self, *args: Any) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_train_start` is an `async def`", "never run", "write `def`"),
        {2: "override"},
    ),
    "two_implementations_of_one_hook": Wrong(
        """
        class Mine:
            @hookimpl
            def on_train_start(self) -> None: ...
            @hookimpl(specname="on_train_start")
            def begin(self) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`begin` and `on_train_start` both implement", "let one call the other"),
        NAMES,
    ),
    "a_static_method_with_self": Wrong(
        """
        class Mine:
            @staticmethod
            @hookimpl
            def on_train_start(self: Any, trainer: Trainer) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_train_start` has no argument `self`", "It has: trainer, pl_module"),
        NAMES,
    ),
    "a_method_without_self": Wrong(
        """
        class Mine:
            @hookimpl
            def on_train_batch_end(batch_idx: int) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_train_batch_end` has `batch_idx` in the place of `self`", "(self, batch_idx, "),
        {3: "misc"},
    ),
    "a_class_method_with_too_few_parameters": Wrong(
        """
        class Mine(Callback):
            @classmethod
            def on_train_start(cls, trainer: Trainer) -> None: ...
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_train_start` takes 1 arguments", "trainer, pl_module"),
        {3: "override"},
    ),
    "a_policy_that_does_not_exist": Wrong(
        """
        class Mine(Callback):
            on_failure = "quarantaine"
        return trainer.bus.register(Mine(), "mine")
        """,
        PluginValidationError,
        ("mine: ", "`on_failure` is 'quarantaine'", "'raise' or 'quarantine'"),
        {2: "assignment"},
    ),
    "a_class_in_place_of_an_instance": Wrong(
        """
        class Mine(Callback):
            def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None: ...
        return trainer.bus.register(Mine, "mine")
        """,
        PluginValidationError,
        ("mine: ", "nothing in it implements a hook", "Mine(...)"),
        ANY_OBJECT,
    ),
    "a_callback_in_the_place_of_a_logger": Wrong(
        """
        class Mine(Callback):
            def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None: ...
        return Trainer(logger=Mine())
        """,
        MisconfigurationException,
        ("Trainer(logger=", "Mine", "no logger", "pass an instance of a Logger"),
        "plugins may be given as any object, a name or a table",
    ),
}
