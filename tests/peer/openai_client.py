"""OpenAI's own client against a server that answers `say TEXT` with the text. The address is the argument; says what is not as it is to be."""
import sys

from openai import BadRequestError, NotFoundError, OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
plain = {"chat_template_kwargs": {"enable_thinking": False}}


def ask(text, **more):
    more.setdefault("extra_body", plain)
    return client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": text}], **more)


# Whole, with usage and probabilities.
answer = ask("say Grüße", logprobs=True, top_logprobs=1, temperature=0, seed=1)
choice = answer.choices[0]
assert choice.message.content == "Grüße", choice
assert choice.finish_reason == "stop" and answer.usage.completion_tokens == len("Grüße".encode())
assert answer.usage.prompt_tokens_details.cached_tokens == 0
assert bytes(b for entry in choice.logprobs.content for b in entry.bytes).decode() == "Grüße"
assert choice.logprobs.content[0].top_logprobs[0].token == "G"

# Streamed, with usage.
pieces = list(ask("say Grüße", stream=True, stream_options={"include_usage": True}))
assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices) == "Grüße"
assert pieces[-1].usage.completion_tokens == len("Grüße".encode())

# A thought.
message = ask("say Hm.\n</think>\n\nYes.", extra_body={}).choices[0].message
assert message.content == "Yes." and message.reasoning_content == "Hm.", message

# A tool, whole and streamed.
tools = [{"type": "function", "function": {"name": "add", "parameters": {
    "type": "object", "properties": {"a": {"type": "integer"}, "why": {"type": "string"}}}}}]
call = "<tool_call>\n<function=add>\n<parameter=a>\n2\n</parameter>\n<parameter=why>\n5\n</parameter>\n</function>\n</tool_call>"
choice = ask("say " + call, tools=tools).choices[0]
assert choice.finish_reason == "tool_calls", choice
function = choice.message.tool_calls[0].function
assert (function.name, function.arguments) == ("add", '{"a":2,"why":"5"}'), function
with client.chat.completions.stream(
    model="tiny", messages=[{"role": "user", "content": "say " + call + call}], tools=tools, extra_body=plain
) as stream:
    for _ in stream:
        pass
    calls = stream.get_final_completion().choices[0].message.tool_calls
assert [c.function.arguments for c in calls] == ['{"a":2,"why":"5"}'] * 2 and calls[0].id != calls[1].id, calls
# The call goes back with its result.
client.chat.completions.create(model="tiny", extra_body=plain, tools=tools, messages=[
    {"role": "user", "content": "?"},
    {"role": "assistant", "tool_calls": [calls[0].model_dump(include={"id": True, "type": True, "function": {"name", "arguments"}})]},
    {"role": "tool", "tool_call_id": calls[0].id, "content": "7"},
    {"role": "user", "content": "say done"},
])

# A text that goes on; the models.
assert client.completions.create(model="tiny", prompt="say on").choices[0].text == "on"
assert [model.id for model in client.models.list()] == ["tiny"]

# Errors have their types.
for kind, act in [
    (BadRequestError, lambda: ask("say a", temperature=9)),
    (BadRequestError, lambda: ask("say a", max_tokens=2**63)),
    (BadRequestError, lambda: ask("refuse")),
    (NotFoundError, lambda: client.chat.completions.create(model="huge", messages=[{"role": "user", "content": "a"}])),
]:
    try:
        act()
    except kind as error:
        assert error.body["message"], error
    else:
        raise AssertionError(f"no {kind.__name__}")
print("ok")
