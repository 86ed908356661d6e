"""What OpenAI's clients send, as models for `/openapi.json`. No I/O.

Bodies are read by `openai_chat_request` and `openai_responses_request`, which pass over what they do not know and look
at fields together; a test holds these models against the readers.

Source: OpenAI API reference, chat completions and responses.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clawd.gateway.requests import CONVERSATION


class Taken(BaseModel):
    """An object of a request; what is not named is passed over."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, defer_build=True)


FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["get_weather"])]
PictureUrl = Annotated[
    str,
    Field(
        pattern=r"^([hH][tT][tT][pP][sS]?://|[dD][aA][tT][aA]:[iI][mM][aA][gG][eE]/[A-Za-z0-9.+-]{1,40};"
        r"[bB][aA][sS][eE]64,)\S+$",
        examples=["https://example.com/cat.png"],
    ),
]
Choice = Literal["auto", "none", "required"]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Temperature = Annotated[float, Field(ge=0, le=2)]

# --- contents ---------------------------------------------------------------------------------------------


class TextContent(Taken):
    """A text."""

    type: Literal["text", "input_text", "output_text"]
    text: str


class RefusalContent(Taken):
    """An answer that was refused."""

    type: Literal["refusal"]
    refusal: str


class Picture(Taken):
    """Where a picture is."""

    url: PictureUrl


class PictureContent(Taken):
    """A picture, for models."""

    type: Literal["image_url", "input_image"]
    image_url: Picture | PictureUrl


Words = Annotated[TextContent | RefusalContent, Field(discriminator="type")]
Seen = Annotated[TextContent | RefusalContent | PictureContent, Field(discriminator="type")]
PlainContent = str | Annotated[list[Words], Field(max_length=256)]
UserContent = str | Annotated[list[Seen], Field(max_length=256)]

# --- tools and forms --------------------------------------------------------------------------------------


class Function(Taken):
    """What a model may call."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = Field(default=None, description="JSON Schema of the arguments.")


class NestedTool(Taken):
    """A function of the client's."""

    type: Literal["function"]
    function: Function


class FlatTool(Function):
    """A function of the client's, in the flat form."""

    type: Literal["function"]


class ChosenName(Taken):
    """The name of the function that is to be called."""

    name: str


class NestedChoice(Taken):
    """The function that is to be called."""

    type: Literal["function"]
    function: ChosenName


class FlatChoice(Taken):
    """The function that is to be called, in the flat form."""

    type: Literal["function"]
    name: str


class PlainForm(Taken):
    """Text, or an object of any form."""

    type: Literal["text", "json_object"]


class OutputForm(Taken):
    """A form of answers."""

    name: FunctionName
    schema_: dict[str, Any] = Field(alias="schema", description="JSON Schema of the answer.")
    strict: Any = None


class NestedForm(Taken):
    """A JSON Schema."""

    type: Literal["json_schema"]
    json_schema: OutputForm


class FlatForm(OutputForm):
    """A JSON Schema, in the flat form."""

    type: Literal["json_schema"]


Tools = Annotated[list[NestedTool | FlatTool], Field(max_length=128)]
ToolChoice = Choice | NestedChoice | FlatChoice
Form = PlainForm | NestedForm | FlatForm


class Metadata(Taken):
    """Notes of the client's; one of them means something."""

    conversation_id: Annotated[str, Field(pattern=CONVERSATION)] | None = Field(
        default=None, description="The conversation to go on with."
    )


# --- chat completions -------------------------------------------------------------------------------------


class CalledFunction(Taken):
    """What was called, and with what."""

    name: FunctionName
    arguments: str = Field(description="JSON text.")


class Call(Taken):
    """A call that a model asked for."""

    id: str
    function: CalledFunction


class SystemSaid(Taken):
    """Instructions."""

    role: Literal["system", "developer"]
    content: PlainContent


class UserSaid(Taken):
    """A message of the user's."""

    role: Literal["user"]
    content: UserContent


class AssistantSaid(Taken):
    """An earlier answer; without content it has calls."""

    role: Literal["assistant"]
    content: PlainContent | None = None
    tool_calls: Annotated[list[Call], Field(max_length=256)] | None = None


class ToolSaid(Taken):
    """The result of a call of an earlier message."""

    role: Literal["tool"]
    tool_call_id: str
    content: PlainContent


ChatMessage = Annotated[SystemSaid | UserSaid | AssistantSaid | ToolSaid, Field(discriminator="role")]


class StreamOptions(Taken):
    """What a stream is to have."""

    include_usage: bool | None = None


class ChatBody(Taken):
    """The body of `POST /v1/chat/completions`."""

    model: str = Field(description="clawd for the agent, or a model or route.", examples=["default"])
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=2000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    stop: (
        Annotated[str, Field(min_length=1, max_length=200)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=4)]
        | None
    ) = None
    response_format: Form | None = None
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    temperature: Temperature | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    metadata: Metadata | None = None
    functions: Annotated[list[Any], Field(max_length=0)] | None = Field(
        default=None, description="Not taken; use tools."
    )
    function_call: Literal[""] | None = Field(default=None, description="Not taken; use tool_choice.")
    audio: Literal[""] | None = Field(default=None, description="Not taken; answers are text.")


# --- responses --------------------------------------------------------------------------------------------


class SystemItem(SystemSaid):
    """Instructions."""

    type: Literal["message"] = "message"


class UserItem(UserSaid):
    """A message of the user's."""

    type: Literal["message"] = "message"


class AssistantItem(Taken):
    """An earlier answer."""

    type: Literal["message"] = "message"
    role: Literal["assistant"]
    content: PlainContent


class CallItem(Taken):
    """A call of an earlier answer."""

    type: Literal["function_call"]
    call_id: str
    name: FunctionName
    arguments: str


class OutputItem(Taken):
    """The result of such a call."""

    type: Literal["function_call_output"]
    call_id: str
    output: PlainContent


class ReasoningItem(Taken):
    """What a model thought; passed over."""

    type: Literal["reasoning"]


InputItem = SystemItem | UserItem | AssistantItem | CallItem | OutputItem | ReasoningItem


class TextForm(Taken):
    """The form of the answer."""

    format: Form | None = None


class ResponsesBody(Taken):
    """The body of `POST /v1/responses`."""

    model: str = Field(description="clawd for the agent, or a model or route.", examples=["clawd"])
    input: str | Annotated[list[InputItem], Field(min_length=1, max_length=2000)]
    instructions: str | None = Field(default=None, description="For this response alone.")
    previous_response_id: str | None = Field(
        default=None, description="Goes on with the conversation of that response; of the agent alone."
    )
    stream: bool | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    text: TextForm | None = None
    max_output_tokens: Count | None = None
    temperature: Temperature | None = None
    metadata: Metadata | None = None
    background: Literal[False] | None = Field(default=None, description="Not taken.")
    conversation: Literal[False] | None = Field(
        default=None, description="Not taken; use metadata.conversation_id."
    )
    prompt: Literal[False] | None = Field(default=None, description="Not taken; none are stored.")
