"""Handlers, filters and emitters that cannot work, each in one way, and who sees it."""

from __future__ import annotations

from .wrong import Wrong

VALUES = "how large a number is, is no type"

HANDLERS: dict[str, Wrong] = {
    "a_handler_of_another_event": Wrong(
        """
        def show(event: TrainStart) -> None: ...
        return trainer.bus.subscribe(TrainBatchEnd, show)
        """,
        TypeError,
        ("subscribe(TrainBatchEnd, show)", "takes TrainStart", "annotate `event: TrainBatchEnd`"),
        {2: "arg-type"},
    ),
    "a_handler_of_one_event_for_all_of_them": Wrong(
        """
        def show(event: TrainStart) -> None: ...
        return trainer.bus.subscribe(Event, show)
        """,
        TypeError,
        ("subscribe(Event, show)", "takes TrainStart", "subscribe to that"),
        {2: "arg-type"},
    ),
    "a_handler_with_the_arguments_of_the_hook": Wrong(
        """
        @trainer.on(TrainBatchEnd)
        def show(trainer: Trainer, batch_idx: int) -> None: ...
        return show
        """,
        TypeError,
        ("subscribe(TrainBatchEnd, show)", "'batch_idx'", "write `def show(event)`", "outputs, batch, batch_idx"),
        {1: "arg-type"},
    ),
    "a_handler_that_takes_nothing": Wrong(
        """
        return trainer.bus.subscribe(TrainStart, lambda: None)
        """,
        TypeError,
        ("subscribe(TrainStart, <lambda>)", "too many positional arguments", "(event)"),
        {1: "misc"},
    ),
    "a_handler_that_cannot_be_called": Wrong(
        """
        return trainer.bus.subscribe(TrainStart, "show")
        """,
        TypeError,
        ("subscribe(TrainStart, 'show')", "a function that takes the event"),
        {1: "arg-type"},
    ),
    "an_async_handler": Wrong(
        """
        @trainer.on(TrainStart)
        async def show(event: TrainStart) -> None: ...
        return show
        """,
        TypeError,
        ("subscribe(TrainStart, show)", "an `async def`", "never run", "a plain `def`"),
        "a handler may return anything, a coroutine included",
    ),
    "the_name_of_a_hook_in_place_of_an_event": Wrong(
        """
        return trainer.bus.subscribe("on_train_batch_end", print)
        """,
        TypeError,
        ("subscribe() takes an event class", "'on_train_batch_end'", "Did you mean `TrainBatchEnd`"),
        {1: "arg-type"},
    ),
    "an_instance_of_an_event": Wrong(
        """
        return trainer.bus.subscribe(TrainStart(trainer, LightningModule()), print)
        """,
        TypeError,
        ("subscribe() takes an event class", "TrainStart(", "pass the class, TrainStart"),
        {1: "arg-type"},
    ),
    "a_class_that_is_no_event": Wrong(
        """
        class TrainBatchEnds: ...
        return trainer.bus.subscribe(TrainBatchEnds, print)
        """,
        TypeError,
        ("subscribe() takes an event class", "TrainBatchEnds", "Did you mean `TrainBatchEnd`"),
        {2: "type-var"},
    ),
    "a_decorator_without_its_event": Wrong(
        """
        @trainer.on
        def train_batch_end(event: TrainBatchEnd) -> None: ...
        return train_batch_end
        """,
        TypeError,
        ("trainer.on() takes an event class", "train_batch_end", "Did you mean `TrainBatchEnd`"),
        {1: "type-var"},
    ),
    "every_half_an_event": Wrong(
        """
        return trainer.on(TrainBatchEnd, every=0.5)(print)
        """,
        TypeError,
        ("subscribe(TrainBatchEnd, every=0.5)", "a whole number, at least 1"),
        {1: "arg-type"},
    ),
    "every_event_as_a_truth_value": Wrong(
        """
        return trainer.on(TrainBatchEnd, every=True)(print)
        """,
        TypeError,
        ("subscribe(TrainBatchEnd, every=True)", "a whole number, at least 1"),
        "bool is a kind of int",
    ),
    "every_zeroth_event": Wrong(
        """
        return trainer.on(TrainBatchEnd, every=0)(print)
        """,
        ValueError,
        ("subscribe(TrainBatchEnd, every=0)", "at least 1"),
        VALUES,
    ),
    "a_filter_as_text": Wrong(
        """
        return trainer.on(TrainBatchEnd, once="5")(print)
        """,
        TypeError,
        ("subscribe(TrainBatchEnd, once='5')", "a whole number, at least 1"),
        {1: "arg-type"},
    ),
    "filters_that_let_nothing_through": Wrong(
        """
        return trainer.on(TrainBatchEnd, once=5, before=5)(print)
        """,
        ValueError,
        ("subscribe(TrainBatchEnd, every=1, once=5, before=5, after=0)", "no event would ever be heard"),
        VALUES,
    ),
    "an_emitter_of_a_name": Wrong(
        """
        return trainer.bus.emitter("on_train_start")
        """,
        TypeError,
        ("emitter() takes an event class", "'on_train_start'", "Did you mean `TrainStart`"),
        {1: "arg-type"},
    ),
    "an_emitter_called_with_too_few_arguments": Wrong(
        """
        return trainer.bus.emitter(TrainBatchEnd)(trainer, LightningModule(), None, None)
        """,
        TypeError,
        ("on_train_batch_end()", "missing 1 required positional argument: 'batch_idx'"),
        {1: "call-arg"},
    ),
    "an_emitter_called_with_an_argument_that_the_hook_lacks": Wrong(
        """
        return trainer.bus.emitter(TrainStart)(trainer, pl_module=LightningModule(), batch_idx=0)
        """,
        TypeError,
        ("on_train_start()", "unexpected keyword argument 'batch_idx'"),
        {1: "call-arg"},
    ),
}

ONLY_TYPING: dict[str, Wrong] = {
    "a_field_that_the_event_lacks": Wrong(
        """
        trainer.bus.subscribe(TrainBatchEnd, lambda event: print(event.output))
        return trainer.bus.emitter(TrainBatchEnd)(trainer, LightningModule(), None, None, 0)
        """,
        AttributeError,
        ("'TrainBatchEnd' object has no attribute 'output'",),
        {1: "attr-defined"},
    ),
    "a_field_in_a_handler_that_says_its_event": Wrong(
        """
        @trainer.on(TrainBatchEnd)
        def show(event: TrainBatchEnd) -> None:
            print(event.loss)
        return trainer.bus.emitter(TrainBatchEnd)(trainer, LightningModule(), None, None, 0)
        """,
        AttributeError,
        ("'TrainBatchEnd' object has no attribute 'loss'",),
        {3: "attr-defined"},
    ),
}
"""What only a type checker sees before the event comes: a handler's body is its own until it runs."""
