"""What the shell offers behind `clawd` and TAB. No Typer here: an answer has to come in a blink."""

from typing import Final

VARIABLE: Final = "_CLAWD_COMPLETE"
"""Asks for completion; what it is set to names the shell and the form of the answer."""

FORMS: Final = frozenset({"bash", "zsh", "fish", "complete_bash", "complete_zsh", "complete_fish"})
"""What is answered here (see `answering.py`); Typer has further ones."""
