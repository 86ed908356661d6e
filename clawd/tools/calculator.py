"""The tool `calculator`: arithmetic that can neither run code nor hang."""

from __future__ import annotations

import ast
import math
import operator
import re
from typing import TYPE_CHECKING, Final

from clawd.config.schema import ToolConfig
from clawd.errors import ToolRetry
from clawd.tools.base import ToolPlugin, ToolResult, ToolSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clawd.response import JsonObject
    from clawd.tools.base import ToolContext

NAME: Final = "calculator"

Number = int | float

MAX_LENGTH: Final = 500  # characters; also bounds the depth of the tree
_MAX_BITS = 4096  # of an integer on the way: some 1,200 digits
_MAX_DEPTH = 100
_MAX_FACTORIAL = 450  # the greatest whose result stays below _MAX_BITS
_MAX_PLACES = 300

_TOKENS = re.compile(
    r"\s+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z_.\d])|[A-Za-z][A-Za-z0-9]*|\*\*|//|[-+*/%(),]"
)
_SPELLINGS = str.maketrans(
    {"×": "*", "·": "*", "÷": "/", "−": "-", "^": "**", "（": "(", "）": ")", "，": ","}
)


class CalculatorConfig(ToolConfig):
    """The section `tools.calculator`."""


class Wrong(ValueError):
    """The expression can't be calculated; the text says why."""


def calculate(expression: str) -> Number:
    """Return the value of an arithmetic expression.

    Args:
        expression: Numbers, `+ - * / // % **` (also `^`, `×`, `÷`), parentheses, the constants and
            functions below; the meaning and precedence are Python's. At most 500 characters.

    Returns:
        An exact integer where only integers are involved, else a finite float.

    Raises:
        Wrong: not such an expression, no real and finite result, or too large.
    """
    if len(expression) > MAX_LENGTH:
        raise Wrong(f"the expression is longer than {MAX_LENGTH} characters")
    text = expression.translate(_SPELLINGS).strip()
    _check_tokens(text)
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise Wrong(f"{expression!r} is not an arithmetic expression") from error
    try:
        return _value(tree.body, _MAX_DEPTH)
    except ZeroDivisionError as error:
        raise Wrong("division by zero") from error
    except OverflowError as error:
        raise Wrong("the result is too large") from error


def _check_tokens(text: str) -> None:
    """Let only numbers, names and operators through to Python's parser."""
    position = 0
    while position < len(text):
        token = _TOKENS.match(text, position)
        if token is None:
            raise Wrong(f"{text[position : position + 10]!r} is not understood")
        position = token.end()
    if not text:
        raise Wrong("the expression is empty")


def _value(node: ast.expr, depth: int) -> Number:
    if not depth:
        raise Wrong("the expression is nested too deeply")
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _checked(value)
        case ast.Name(id=name):
            if name not in _CONSTANTS:
                raise Wrong(f"{name!r} is unknown; there are {', '.join(sorted(_CONSTANTS))}")
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=operand):
            value = _value(operand, depth - 1)
            return -value if isinstance(sign, ast.USub) else value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            a, b = _value(left, depth - 1), _value(right, depth - 1)
            return _checked(_OPERATORS[type(op)](a, b))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _called(name, [_value(argument, depth - 1) for argument in arguments])
        case _:
            raise Wrong("only numbers, + - * / // % **, parentheses and functions are allowed")


def _called(name: str, arguments: Sequence[Number]) -> Number:
    function = _FUNCTIONS.get(name)
    if function is None:
        raise Wrong(f"the function {name!r} is unknown; there are {', '.join(sorted(_FUNCTIONS))}")
    try:
        return _checked(function(*arguments))
    except TypeError as error:
        raise Wrong(f"{name} does not take these arguments") from error
    except Wrong:
        raise
    except ValueError as error:
        raise Wrong(f"{name} is not defined there") from error


def _checked(value: object) -> Number:
    """Return a number that is real, finite and of bounded size."""
    if isinstance(value, int) and value.bit_length() <= _MAX_BITS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise Wrong(
        "the result is not a real number" if isinstance(value, complex) else "the result is too large"
    )


def _power(base: Number, exponent: Number) -> object:
    # Checked before, not after: 9**9**9 would take all memory on the way to being refused.
    if isinstance(base, int) and isinstance(exponent, int) and _bits(base) * exponent > 2 * _MAX_BITS:
        raise Wrong("the result is too large")
    return base**exponent


def _bits(base: int) -> int:
    """Return by how many bits each power grows; those of -1, 0 and 1 do not."""
    return base.bit_length() if abs(base) > 1 else 0


def _factorial(n: Number) -> int:
    if n != int(n) or not 0 <= n <= _MAX_FACTORIAL:
        raise Wrong(f"factorial takes whole numbers from 0 to {_MAX_FACTORIAL}")
    return math.factorial(int(n))


def _round(value: Number, places: Number = 0) -> Number:
    if not isinstance(places, int) or abs(places) > _MAX_PLACES:
        raise Wrong(f"round takes whole places up to {_MAX_PLACES}")
    return round(value, places) if places else round(value)


_CONSTANTS: Final[dict[str, float]] = {"pi": math.pi, "e": math.e, "tau": math.tau}

_OPERATORS: Final[dict[type[ast.operator], Callable[[Number, Number], object]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}

_FUNCTIONS: Final[dict[str, Callable[..., Number]]] = {
    "abs": abs,
    "acos": math.acos,
    "asin": math.asin,
    "atan": math.atan,
    "atan2": math.atan2,
    "ceil": math.ceil,
    "cos": math.cos,
    "cosh": math.cosh,
    "degrees": math.degrees,
    "exp": math.exp,
    "factorial": _factorial,
    "floor": math.floor,
    "gcd": math.gcd,
    "hypot": math.hypot,
    "isqrt": math.isqrt,
    "ln": math.log,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
    "radians": math.radians,
    "round": _round,
    "sin": math.sin,
    "sinh": math.sinh,
    "sqrt": math.sqrt,
    "tan": math.tan,
    "tanh": math.tanh,
}


class CalculatorTool:
    """Calculates."""

    spec = ToolSpec(
        name=NAME,
        description="Exact arithmetic. Use it for any calculation beyond the simplest.",
        parameters={
            "type": "object",
            "properties": {
                "expression": {
                    "type": "string",
                    "maxLength": MAX_LENGTH,
                    "description": f"e.g. (3 + 4) * sqrt(2) ** 3; functions: {' '.join(sorted(_FUNCTIONS))}",
                }
            },
            "required": ["expression"],
            "additionalProperties": False,
        },
        effect="pure",
    )

    def __init__(self, config: CalculatorConfig) -> None:
        del config

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        del context
        try:
            # On the loop: the limits above hold it below a millisecond.
            value = calculate(str(arguments["expression"]))
        except Wrong as error:
            raise ToolRetry(NAME, f"Can't calculate that: {error}") from error
        # 15 digits are what a float holds for sure: 0.1 + 0.2 is told as 0.3.
        return ToolResult(str(value) if isinstance(value, int) else format(value, ".15g"))


PLUGIN = ToolPlugin(name=NAME, config=CalculatorConfig, create=lambda _site, config: CalculatorTool(config))
