"""Finding installed plugins: metadata only, nothing imported, faults told and not raised."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from torchbus._discovery import DEFAULTS, STANDARD, STANDARD_PROFILERS, Offer, discover, find_offer, load_offer
from torchbus._errors import PluginConflictError, PluginLoadError, PluginNotFoundError
from torchbus_hookspecs import CONTRACT_VERSION

pytestmark = pytest.mark.usefixtures("no_environment")

WRITES = """
from pathlib import Path
Path(__file__).with_name("imported").touch()
def hooks(): ...
"""


def offered(name: str) -> list[Offer]:
    return [offer for offer in discover() if offer.name == name]


# ---- listing ----------------------------------------------------------------------------------------------------------


def test_an_offer_tells_kind_distribution_version_and_target(install) -> None:
    install("some-dist", "1.2", entry_points={"torchbus.loggers": {"mine": "some_module:Logger"}})
    assert offered("mine") == [Offer("mine", "loggers", "some-dist", "1.2", "some_module:Logger")]
    assert offered("mine")[0].origin == "some-dist 1.2"


def test_entry_points_of_other_groups_are_no_plugins(install) -> None:
    install("some-dist", entry_points={"console_scripts": {"mine": "m:main"}, "torchbus.colours": {"mine": "m:red"}})
    assert offered("mine") == []


def test_listing_imports_no_plugin(install) -> None:
    folder = install(
        "some-dist",
        entry_points={"torchbus.plugins": {"writes": "it_writes:hooks", "raises": "it_raises:hooks"}},
        modules={"it_writes.py": WRITES, "it_raises.py": "raise RuntimeError('imported')"},
    )
    assert [offered(name)[0].target for name in ("writes", "raises")] == ["it_writes:hooks", "it_raises:hooks"]
    assert not (folder / "imported").exists()
    assert not {"it_writes", "it_raises"} & set(sys.modules)
    load_offer(find_offer("writes"))
    assert (folder / "imported").exists(), "the module does leave a trace when it is imported"


def test_listing_does_not_import_torch() -> None:
    script = "import sys; from torchbus._discovery import discover; assert discover(); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_offers_are_sorted_by_kind_and_name(install) -> None:
    install(
        "some-dist", entry_points={"torchbus.loggers": {"b": "m:B", "a": "m:A"}, "torchbus.callbacks": {"z": "m:Z"}}
    )
    keys = [(offer.kind, offer.name, offer.distribution) for offer in discover()]
    assert keys == sorted(keys)
    assert {"a", "b", "z"} <= {name for _, name, _ in keys}


def test_an_earlier_folder_of_the_path_hides_a_later_one(install) -> None:
    install("some-dist", "1.0", entry_points={"torchbus.plugins": {"mine": "m:old", "gone": "m:gone"}}, site="later")
    install("Some.Dist", "2.0", entry_points={"torchbus.plugins": {"mine": "m:new"}}, site="earlier")
    assert [(one.version, one.target) for one in offered("mine")] == [("2.0", "m:new")]
    assert offered("gone") == []


def test_a_newer_version_without_plugins_hides_the_older_one_too(install) -> None:
    install("some-dist", "1.0", entry_points={"torchbus.plugins": {"mine": "m:old"}}, site="later")
    install("some-dist", "2.0", site="earlier")
    assert offered("mine") == []


def test_a_damaged_distribution_is_a_fault_of_its_own_and_stops_nobody(install) -> None:
    folder = install("some-dist", entry_points={"torchbus.plugins": {"mine": "m:hooks"}})
    install("other-dist", entry_points={"torchbus.plugins": {"other": "m:hooks"}})
    (folder / "some_dist-1.0.dist-info" / "METADATA").unlink()
    (offer,) = offered("mine")
    assert offer.fault.endswith("is damaged: its metadata lacks a name or a version. To fix: reinstall it.")
    with pytest.raises(PluginLoadError, match=r"`mine` cannot be used: .* is damaged"):
        load_offer(offer)
    assert offered("other")[0].fault == ""


def test_unreadable_entry_points_stop_nobody(install) -> None:
    folder = install("some-dist", entry_points={"torchbus.plugins": {"mine": "m:hooks"}})
    install("other-dist", entry_points={"torchbus.plugins": {"other": "m:hooks"}})
    (folder / "some_dist-1.0.dist-info" / "entry_points.txt").write_bytes(b"[torchbus.plugins]\nmine = \xff\xfe\n")
    assert len(offered("other")) == 1


# ---- the contract's version -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "requirement",
    ["torchbus-hookspecs>=1,<2", "torchbus-hookspecs", "Torchbus_Hookspecs~=1.0", "torch>=2", "not a requirement ("],
)
def test_a_plugin_for_this_contract_may_be_used(install, requirement: str) -> None:
    install(
        "some-dist", entry_points={"torchbus.plugins": {"mine": "fine:VALUE"}}, modules={"fine.py": "VALUE = 3"},
        requires=[requirement],
    )  # fmt: skip
    assert offered("mine")[0].fault == ""
    assert load_offer(find_offer("mine")) == 3


@pytest.mark.parametrize("requirement", ["torchbus-hookspecs>=2,<3", "torchbus_hookspecs<1", "Torchbus.HookSpecs==0.9"])
def test_a_plugin_for_another_contract_is_refused_by_name_and_version_before_it_is_imported(
    install, requirement: str
) -> None:
    folder = install(
        "future-dist", "7.1", entry_points={"torchbus.plugins": {"mine": "it_writes:hooks"}},
        modules={"it_writes.py": WRITES}, requires=["torch", requirement],
    )  # fmt: skip
    offer = find_offer("mine")
    with pytest.raises(PluginLoadError) as caught:
        load_offer(offer)
    message = str(caught.value)
    assert "Plugin `mine` cannot be used: future-dist 7.1 is made for torchbus-hookspecs " in message
    assert f"and {CONTRACT_VERSION} is installed" in message
    assert "To fix: install a version of future-dist for contract 1." in message
    assert caught.value.plugin == "mine"
    assert not (folder / "imported").exists()


def test_a_requirement_of_an_extra_that_was_not_asked_for_is_no_fault(install) -> None:
    requires = ['torchbus-hookspecs>=2; extra == "next"', 'torchbus-hookspecs>=3; python_version < "3"']
    install("some-dist", entry_points={"torchbus.plugins": {"mine": "m:hooks"}}, requires=requires)
    assert offered("mine")[0].fault == ""


# ---- the list of allowed distributions --------------------------------------------------------------------------------


def test_only_allowed_distributions_may_be_used(install, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"torchbus.plugins": {"mine": "it_writes:hooks"}}
    folder = install("some-dist", entry_points=points, modules={"it_writes.py": WRITES})
    install("other-dist", entry_points={"torchbus.plugins": {"other": "m:hooks"}})
    monkeypatch.setenv("TORCHBUS_PLUGIN_ALLOW", "Other_Dist, torchbus-stopping")
    assert offered("other")[0].fault == ""
    assert offered("early_stopping")[0].fault == ""
    with pytest.raises(
        PluginLoadError,
        match="`mine` cannot be used: some-dist is not among the distributions that TORCHBUS_PLUGIN_ALLOW",
    ):
        load_offer(find_offer("mine"))
    assert not (folder / "imported").exists()
    monkeypatch.setenv("TORCHBUS_PLUGIN_ALLOW", "some.dist")
    load_offer(find_offer("mine"))
    assert (folder / "imported").exists()


def test_an_empty_list_allows_nobody_but_the_core(install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("some-dist", entry_points={"torchbus.plugins": {"mine": "m:hooks"}})
    monkeypatch.setenv("TORCHBUS_PLUGIN_ALLOW", "")
    usable = {offer.distribution for offer in discover() if not offer.fault}
    assert usable == {"torchbus-core"}


# ---- finding by name --------------------------------------------------------------------------------------------------


def test_two_distributions_with_one_name_are_a_conflict_that_names_both(install) -> None:
    install("dist-a", "1.0", entry_points={"torchbus.plugins": {"mine": "m:a"}})
    install("dist-b", "2.0", entry_points={"torchbus.plugins": {"mine": "m:b"}})
    with pytest.raises(
        PluginConflictError,
        match=r"a plugin `mine`: dist-a 1\.0, dist-b 2\.0\. To fix: write `dist-a:mine` to pick one",
    ):
        find_offer("mine")
    assert find_offer("dist-b:mine").target == "m:b"
    assert find_offer("Dist_A:mine").target == "m:a"


def test_one_name_in_two_kinds_of_one_distribution_asks_for_the_kind(install) -> None:
    install(
        "dist-a", entry_points={"torchbus.loggers": {"mine": "m:Logger"}, "torchbus.callbacks": {"mine": "m:Callback"}}
    )
    with pytest.raises(
        PluginConflictError, match=r"dist-a 1\.0 offers `mine` as callbacks and as loggers\. To fix: .*one kind"
    ):
        find_offer("mine")
    assert find_offer("mine", "loggers").target == "m:Logger"


def test_an_unknown_name_is_told_with_the_nearest_names() -> None:
    with pytest.raises(PluginNotFoundError, match=r"offers a plugin `early_stoping`\. Did you mean `early_stopping`\?"):
        find_offer("early_stoping")


def test_a_name_like_no_other_is_told_with_what_is_installed() -> None:
    with pytest.raises(PluginNotFoundError, match=r"offers a logger `zzzzzz`\. Installed are: csv,.* tensorboard"):
        find_offer("zzzzzz", "loggers")


@pytest.mark.parametrize(("name", "distribution"), STANDARD.items())
def test_a_standard_plugin_that_is_not_installed_is_told_with_the_command_that_installs_it(
    name: str, distribution: str
) -> None:
    with pytest.raises(
        PluginNotFoundError, match=f"It comes with {distribution}: pip install {distribution}"
    ) as caught:
        find_offer(name, offers=[])
    assert caught.value.plugin == name


@pytest.mark.parametrize(("name", "distribution"), STANDARD_PROFILERS.items())
def test_a_standard_profiler_that_is_not_installed_is_told_where_a_profiler_is_meant(
    name: str, distribution: str
) -> None:
    with pytest.raises(PluginNotFoundError, match=f"pip install {distribution}"):
        find_offer(name, "profilers", offers=[])
    with pytest.raises(PluginNotFoundError) as caught:
        find_offer(name, offers=[])
    assert distribution not in str(caught.value)


def test_the_table_of_standard_plugins_is_what_their_distributions_declare() -> None:
    declared: dict[bool, dict[str, str]] = {False: {}, True: {}}
    for path in Path(__file__).parents[2].glob("plugins/*/*/pyproject.toml"):
        project = tomllib.loads(path.read_text())["project"]
        for group, points in project["entry-points"].items():
            if group.startswith("torchbus."):
                declared[group == "torchbus.profilers"].update(dict.fromkeys(points, project["name"]))
    assert declared == {False: STANDARD, True: STANDARD_PROFILERS}
    assert {name for names in DEFAULTS.values() for name in names} <= set(STANDARD)


# ---- loading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("it_raises:hooks", "RuntimeError: broken at import"),
        ("nowhere_at_all:hooks", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("fine:absent", "AttributeError: .*absent"),
        ("not a target!", ""),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_an_error_with_its_cause(install, target: str, cause: str) -> None:
    install(
        "some-dist", "1.2", entry_points={"torchbus.plugins": {"mine": target}},
        modules={"it_raises.py": "raise RuntimeError('broken at import')", "fine.py": ""},
    )  # fmt: skip
    with pytest.raises(
        PluginLoadError, match=rf"`mine` \(some-dist 1\.2\) cannot be imported from {target}: {cause}"
    ) as caught:
        load_offer(find_offer("mine"))
    assert caught.value.__cause__ is not None
    assert "To fix: reinstall or update some-dist, or do not enable it." in str(caught.value)


def test_discovery_reads_the_folder_it_is_shown_only(install, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "x-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "elsewhere" / "x-1.0.dist-info" / "entry_points.txt").write_text("[torchbus.plugins]\nmine = m:x\n")
    assert offered("mine") == []
