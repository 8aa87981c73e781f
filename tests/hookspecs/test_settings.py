"""Settings are declared once, as a typed signature: what is refused, what is converted, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import Field
from torchbus_hookspecs import Callback, MisconfigurationException
from torchbus_hookspecs.settings import Duration, Setting, check_settings, describe_settings, settings_model, validated

if TYPE_CHECKING:
    from somewhere_that_is_not_installed import Mystery


@validated
class Patient(Callback):
    """Waits."""

    def __init__(
        self,
        monitor: str,
        patience: Annotated[int, Field(ge=0, description="Checks to wait.")] = 3,
        mode: Literal["min", "max"] = "min",
        interval: Duration | None = None,
        share: Annotated[int, Field(ge=1)] | Annotated[float, Field(ge=0, le=1)] = 1.0,
    ) -> None:
        self.given = (monitor, patience, mode, interval, share)


def refused(cls: Callable[..., Any], *args: Any, **kwargs: Any) -> MisconfigurationException:
    with pytest.raises(MisconfigurationException) as caught:
        cls(*args, **kwargs)
    return caught.value


# ---- @validated -------------------------------------------------------------------------------------------------------


def test_right_settings_reach_the_constructor_by_position_and_by_name() -> None:
    assert Patient("val_loss", 5, mode="max").given == ("val_loss", 5, "max", None, 1.0)


def test_values_are_converted_as_the_declaration_says() -> None:
    assert Patient("val_loss", "5", interval="1h").given == ("val_loss", 5, "min", timedelta(hours=1), 1.0)


def test_all_faults_are_told_at_once() -> None:
    error = refused(Patient, 3, patience=-1, mode="mni")
    assert str(error).splitlines() == [
        "Patient: 3 settings are wrong.",
        "  - `monitor` is 3; it should be a valid string. Read from: the script.",
        "  - `patience` is -1; it should be greater than or equal to 0. Read from: the script.",
        "  - `mode` is 'mni'; it should be 'min' or 'max'. Read from: the script.",
    ]
    assert error.plugin == "Patient"
    assert [(fault.field, fault.value, fault.source) for fault in error.faults] == [
        ("monitor", 3, "the script"),
        ("patience", -1, "the script"),
        ("mode", "mni", "the script"),
    ]


def test_the_alternatives_of_a_union_are_told_as_one_fault() -> None:
    error = refused(Patient, "val_loss", share="many")
    (fault,) = error.faults
    assert fault.field == "share"
    assert "valid integer" in fault.problem
    assert "valid number" in fault.problem
    assert len(str(error).splitlines()) == 2


def test_an_unknown_argument_is_a_type_error_with_the_nearest_name() -> None:
    with pytest.raises(
        TypeError, match=r"^Patient: .*unexpected keyword argument 'patiense'.* Did you mean `patience`\?"
    ):
        Patient("val_loss", patiense=3)


def test_a_missing_argument_is_a_type_error_that_names_it() -> None:
    with pytest.raises(TypeError, match=r"^Patient: missing a required argument: 'monitor'"):
        Patient()


def test_too_many_arguments_are_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"^Patient: too many positional arguments"):
        Patient("val_loss", 1, "min", None, 1, "more")


def test_a_subclass_without_a_constructor_is_checked_under_its_own_name() -> None:
    class Child(Patient):
        pass

    assert str(refused(Child, "val_loss", -1)).startswith("Child: a setting is wrong.")


def test_a_subclass_with_a_constructor_checks_what_it_passes_on() -> None:
    class Child(Patient):
        def __init__(self, anything: object) -> None:
            super().__init__("val_loss", anything)

    assert Child(7).given[1] == 7
    assert refused(Child, "much").faults[0].field == "patience"


def test_starred_parameters_arrive_unchanged() -> None:
    @validated
    class Starred:
        def __init__(self, first: int, /, second: int, *rest: Any, last: int = 0, **more: Any) -> None:
            self.given = (first, second, rest, last, more)

    assert Starred("1", "2", "3", 4, last="5", other="6").given == (1, 2, ("3", 4), 5, {"other": "6"})
    assert [fault.field for fault in refused(Starred, "x", "y").faults] == ["first", "second"]


def test_the_signature_and_the_docstring_of_a_validated_class_stay() -> None:
    assert [setting.name for setting in describe_settings(Patient)] == [
        "monitor",
        "patience",
        "mode",
        "interval",
        "share",
    ]
    assert Patient.__doc__ == "Waits."


# ---- durations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        (" 1H 30M ", timedelta(hours=1, minutes=30)),
        ("1.5h", timedelta(minutes=90)),
        ("2w", timedelta(weeks=2)),
        ("01:02:03:04", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("PT1H30M", timedelta(hours=1, minutes=30)),
        ({"hours": 1, "minutes": 30}, timedelta(hours=1, minutes=30)),
        (90, timedelta(seconds=90)),
        (0.5, timedelta(milliseconds=500)),
        (timedelta(days=1), timedelta(days=1)),
    ],
)
def test_durations_are_read_in_many_forms(written: Any, meant: timedelta) -> None:
    assert Patient("val_loss", interval=written).given[3] == meant


@pytest.mark.parametrize("written", ["soon", "1x", "", "h", "1h soon", {"hour": 1}, {"hours": "one"}, [1], "1:2:3:4:5"])
def test_what_is_no_duration_is_refused_by_name(written: Any) -> None:
    error = refused(Patient, "val_loss", interval=written)
    assert error.faults[0].field == "interval"
    assert repr(written) in str(error)


# ---- classes of third parties -----------------------------------------------------------------------------------------


class Plain:
    """As anybody would write it."""

    def __init__(self, path: Path, count: int = 1, untyped=None, where: Mystery = None) -> None:
        self.path = path


class NoConstructor(Callback):
    pass


class Open:
    def __init__(self, count: int = 1, **others: Any) -> None: ...


@dataclass
class Data(Callback):
    count: int = 1
    names: list[str] | None = None


def factory(count: int = 1) -> Callback:
    return Callback()


def test_a_plain_class_is_checked_against_its_signature() -> None:
    checked, faults = check_settings(Plain, {"path": "a/b", "untyped": object, "where": "anything"})
    assert not faults
    assert checked == {"path": Path("a/b"), "untyped": object, "where": "anything"}
    _, faults = check_settings(Plain, {"count": "many", "pathh": 1}, {"count": "a file"})
    assert [(fault.field, fault.source) for fault in faults] == [
        ("path", ""),
        ("count", "a file"),
        ("pathh", "the script"),
    ]
    assert str(faults[0]) == "`path` is required and was not given."
    assert faults[2].problem == "is not a setting of Plain. Did you mean `path`?"


@pytest.mark.parametrize("declaration", [Data, factory])
def test_dataclasses_and_factories_are_checked_too(declaration: Callable[..., Any]) -> None:
    assert check_settings(declaration, {"count": "2"}) == ({"count": 2}, [])
    assert [fault.field for fault in check_settings(declaration, {"count": "x", "other": 1})[1]] == ["count", "other"]


def test_a_class_without_a_constructor_has_no_settings() -> None:
    assert check_settings(NoConstructor, {}) == ({}, [])
    (fault,) = check_settings(NoConstructor, {"patience": 1})[1]
    assert fault.problem == "is not a setting of NoConstructor."


def test_a_constructor_with_keywords_takes_unknown_settings() -> None:
    assert check_settings(Open, {"count": "2", "other": "x"}) == ({"count": 2, "other": "x"}, [])


def test_defaults_are_left_to_the_constructor() -> None:
    assert check_settings(Patient, {"monitor": "val_loss"}) == ({"monitor": "val_loss"}, [])


def test_settings_with_names_that_pydantic_keeps_for_itself_work() -> None:
    class Odd:
        def __init__(self, model_config: int = 1, _hidden: int = 2, copy: int = 3) -> None: ...

    assert check_settings(Odd, {"model_config": "4", "_hidden": "5", "copy": "6"})[0] == {
        "model_config": 4,
        "_hidden": 5,
        "copy": 6,
    }


def test_a_class_of_a_module_that_nobody_imported_is_checked() -> None:
    namespace: dict[str, Any] = {"__name__": "a_module_out_of_nowhere"}
    exec("from __future__ import annotations\nclass Made:\n    def __init__(self, count: int = 1): ...", namespace)
    assert check_settings(namespace["Made"], {"count": "2"}) == ({"count": 2}, [])


# ---- tables and schemas -----------------------------------------------------------------------------------------------


def test_settings_are_described_for_tables() -> None:
    described = {setting.name: setting for setting in describe_settings(Patient)}
    assert described["monitor"] == Setting("monitor", "str", "", True, "")
    assert described["patience"] == Setting("patience", "int", "3", False, "Checks to wait.")
    assert described["mode"].default == "'min'"


def test_types_are_described_as_their_author_would_write_them() -> None:
    class Typed:
        def __init__(
            self,
            stages: dict[Annotated[int, Field(ge=0)], Annotated[float, Field(gt=0)]],
            mode: Literal["min", "max"] | None = None,
            names: list[str | None] = [],  # noqa: B006
            key: Callable[[int], str] | None = None,
            pair: tuple[int, ...] = (),
            wait: Duration | None = None,
        ) -> None: ...

    assert [one.type for one in describe_settings(Typed)] == [
        "dict[int, float]", "Literal['min', 'max'] | None", "list[str | None]", "Callable[[int], str] | None", "tuple[int, ...]",
        "timedelta | None",
    ]  # fmt: skip


def test_descriptions_may_stand_in_the_docstring() -> None:
    class Plain:
        """Do something.

        Args:
            monitor: the metric to watch, as it was logged
                by the module.
            patience: checks to wait; ``0``: none.

        Raises:
            ValueError: never.
        """

        def __init__(self, monitor: str, patience: int = 3, other: Any = None) -> None: ...

    assert [one.description for one in describe_settings(Plain)] == [
        "The metric to watch, as it was logged by the module.", "Checks to wait; `0`: none.", "",
    ]  # fmt: skip


def test_the_same_declaration_gives_a_json_schema() -> None:
    schema = settings_model(Patient).model_json_schema()
    assert schema["required"] == ["monitor"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["patience"]["minimum"] == 0
    assert schema["properties"]["mode"]["enum"] == ["min", "max"]


# ---- signatures with ``**kwargs``, unions and lists ------------------------------------------------------------------


def faults_of(function: Any, **values: Any) -> dict[str, str]:
    return {fault.field: fault.problem for fault in check_settings(function, values)[1]}


def test_kwargs_take_other_names_but_not_what_is_nearly_a_setting() -> None:
    def make(max_depth: int = 1, size_1: int = 1, **more: Any) -> None: ...

    assert faults_of(make, depth=1, size_2=2, title="x") == {}
    near = {"max_deph": "is not a setting of make. Did you mean `max_depth`?"}
    assert faults_of(make, max_deph=1) == near
    assert faults_of(make, max_deph=1, size_1="x").keys() == {*near, "size_1"}, "beside other faults"


def test_a_field_is_named_by_its_place_and_not_by_an_alternative_of_its_type() -> None:
    def make(
        path: str | Path = "", parts: dict[str, int | None] | None = None, names: tuple[str, ...] = ()
    ) -> None: ...

    assert faults_of(make, path=7) == {"path": "is 7; it should be a valid string, or a path."}
    assert faults_of(make, parts={"head": "x"}).keys() == {"parts.head"}
    assert faults_of(make, names=["a", 7]) == {"names": "is 7; it should be a valid string."}


def test_a_list_that_wrong_items_leave_too_short_is_one_fault() -> None:
    def make(names: Annotated[tuple[str, ...], Field(min_length=1)]) -> None: ...

    assert faults_of(make, names=[7]) == {"names": "is 7; it should be a valid string."}
    assert "at least 1 item" in faults_of(make, names=[])["names"]
