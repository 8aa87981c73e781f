"""``<!-- lifecycle: fit -->``: a recorded run, as indented pseudo-code."""

from __future__ import annotations

from torchbus._cli.outline import lines_of

from .runs import RUNS, outline_of_run


def lifecycle(subject: str) -> str | None:
    """The hooks of a run, each start with its end, what repeats told once; ``None`` for a run that nobody records."""
    if subject not in RUNS:
        return None
    lines = [
        f"{'    ' * depth}{text}{f'  # {remark}' if remark else ''}"
        for depth, text, remark in lines_of(outline_of_run(subject))
    ]
    return "\n".join(["```text", *lines, "```"]) + "\n"
