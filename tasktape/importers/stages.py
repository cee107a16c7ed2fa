"""The meaning of an event log's activities for a task: its stage, and whether the stage ends the work."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from app.text.graphemes import shortened
from app.text.names import is_visible, normal_label, without_invisible

MAX_STAGE_CHARS = 100
STANDARD_TRANSITIONS = frozenset(
    {
        "schedule",
        "assign",
        "withdraw",
        "reassign",
        "start",
        "suspend",
        "resume",
        "pi_abort",
        "ate_abort",
        "complete",
        "autoskip",
        "manualskip",
        "unknown",
    }
)
"""The transitions of the standard's lifecycle model: how far the activity is, not where the task is."""
ENDING = frozenset(["completed", "closed", "resolved", "cancelled", "canceled", "done", "finished"])


class Stage(NamedTuple):
    """A stage by its name (None if the event has none), and whether it ends the work."""

    name: str | None
    ends: bool


@lru_cache(maxsize=4_096)
def stage_of(activity: str | None, transition: str | None) -> Stage:
    """Return the stage of an event.

    `Accepted` in transition `In Progress` is the stage `Accepted/In Progress`; a transition of the standard's
    own lifecycle model, such as `complete`, is no part of the name.
    """
    words = [name_in(activity)]
    if transition is not None and transition.strip().casefold() not in STANDARD_TRANSITIONS:
        words.append(name_in(transition))
    named = [word for word in words if word]
    ends = any(word.casefold() in ENDING for word in named)
    return Stage(shortened("/".join(named), MAX_STAGE_CHARS) or None, ends)


def one_line(text: str | None) -> str:
    """Return the text with every run of white space as one space."""
    return " ".join(text.split()) if text else ""


def name_in(text: str | None) -> str:
    """Return the text on one line and normalised, without characters that names must not have."""
    name = normal_label(one_line(without_invisible(one_line(text))))
    return name if is_visible(name) else ""
