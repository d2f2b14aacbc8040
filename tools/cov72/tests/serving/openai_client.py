"""Asks a server of cov72 by the openai client and prints what it saw as one JSON object.

pip install openai; python openai_client.py http://127.0.0.1:8080/v1
"""

import json
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
models = [model.id for model in client.models.list()]
order = dict(model=models[0], max_tokens=30, seed=4)
chat = [{"role": "user", "content": "hi"}]


def refusal(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [error.status_code, error.code]
    return None


completion = client.completions.create(prompt="the ", **order)
streamed = client.completions.create(prompt="the ", stream=True, **order)
said = client.chat.completions.create(messages=chat, **order)
chat_streamed = client.chat.completions.create(messages=chat, stream=True, **order)
print(json.dumps({
    "models": models,
    "completion": completion.choices[0].text,
    "streamed": "".join(piece.choices[0].text for piece in streamed),
    "usage": completion.usage.total_tokens,
    "chat": said.choices[0].message.content,
    "chat_streamed": "".join(piece.choices[0].delta.content or "" for piece in chat_streamed),
    "refused": refusal(lambda: client.completions.create(model="other", prompt="a")),
    "too_long": refusal(lambda: client.completions.create(model=models[0], prompt="a" * 5000)),
}))
