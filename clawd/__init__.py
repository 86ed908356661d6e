"""clawd: an always-on AI agent daemon that finishes what it starts."""

__version__ = "0.1.0"

TYPE_CHECKING = False  # as `typing` has it; `clawd --version` is asked for often and imports next to nothing
if TYPE_CHECKING:
    from clawd.embedded.asking import Ask as Ask
    from clawd.embedded.background import RouterClosed as RouterClosed
    from clawd.embedded.model_router import ModelRouter as ModelRouter
    from clawd.embedded.parsing import Answer as Answer
    from clawd.embedded.parsing import AnswerMismatch as AnswerMismatch
    from clawd.embedded.streaming import AnswerStream as AnswerStream
    from clawd.embedded.streaming import Delta as Delta
    from clawd.errors import BudgetSpent as BudgetSpent
    from clawd.errors import ClawdError as ClawdError
    from clawd.errors import ConfigError as ConfigError
    from clawd.errors import ContextTooLong as ContextTooLong
    from clawd.errors import ModelAuthError as ModelAuthError
    from clawd.errors import ModelError as ModelError
    from clawd.errors import ModelRateLimited as ModelRateLimited
    from clawd.errors import ModelsExhausted as ModelsExhausted
    from clawd.errors import ModelUnavailable as ModelUnavailable
    from clawd.errors import NotFound as NotFound
    from clawd.response import ModelResponse as ModelResponse

_HOMES = {
    "clawd.embedded.asking": ("Ask",),
    "clawd.embedded.background": ("RouterClosed",),
    "clawd.embedded.model_router": ("ModelRouter",),
    "clawd.embedded.parsing": ("Answer", "AnswerMismatch"),
    "clawd.embedded.streaming": ("AnswerStream", "Delta"),
    "clawd.errors": (
        "BudgetSpent", "ClawdError", "ConfigError", "ContextTooLong", "ModelAuthError", "ModelError",
        "ModelRateLimited", "ModelUnavailable", "ModelsExhausted", "NotFound",
    ),
    "clawd.response": ("ModelResponse",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> object:
    """Return what programs import from here, from where it lives."""
    if name in _HOME_OF:
        from importlib import import_module

        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'clawd' has no attribute {name!r}")
