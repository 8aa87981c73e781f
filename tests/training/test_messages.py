"""What a run says through logging is seen without setting logging up, and once when it is set up."""

from __future__ import annotations

import logging

import pytest
import torchbus

ROOT = logging.getLogger()


def test_messages_of_plugins_are_shown_in_a_script_that_sets_up_no_logging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ROOT, "handlers", [])  # without pytest's own
    torchbus.Trainer(logger=False)
    logging.getLogger("torchbus.early_stopping").info("`val_loss` is %.1f: a new best.", 0.5)
    assert capsys.readouterr().err == "`val_loss` is 0.5: a new best.\n"


def test_with_handlers_of_the_script_they_go_there_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torchbus.Trainer(logger=False)
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", records.append)
    monkeypatch.setattr(ROOT, "handlers", [handler])
    logging.getLogger("torchbus.early_stopping").info("a new best")
    assert [record.getMessage() for record in records] == ["a new best"]
    assert capsys.readouterr().err == ""
