#!/usr/bin/env python3
"""Compare the prompts of a trace with those of transformers' apply_chat_template.

  replay gen-trace chats.jsonl --tokenizer MODEL_DIR --output trace.jsonl
  python3 scripts/reference/check_prompts.py chats.jsonl MODEL_DIR trace.jsonl

Joins chunks, drops what has no text or is out of turn, and renders by its own code, so that it shares nothing with the program.
Needs: pip install transformers jinja2
"""
import json
import os
import re
import sys

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from transformers import PreTrainedTokenizerFast  # noqa: E402

ROLES = {"human": "user", "user": "user", "system": "system", "tool": "tool", "function": "tool"}
ROLES |= {name: "assistant" for name in ("gpt", "assistant", "chatgpt", "bing", "bard", "model")}


def records(path):
    with open(path, encoding="utf-8") as file:
        start = file.read(1)
        file.seek(0)
        if start == "[":
            yield from json.load(file)
        else:
            for line in file:
                if line.strip():
                    yield json.loads(line)


def chats(path):
    parts = {}
    for record in records(path):
        match = re.fullmatch(r"(.+)_(\d+)", record["id"])
        parts.setdefault(match[1], []).append((int(match[2]), record["conversations"]))
    for name, chunks in parts.items():
        chunks.sort(key=lambda chunk: chunk[0])
        base, joined = chunks[0][0], []
        for start, messages in chunks:
            if start - base > len(joined):
                break
            joined += messages[len(joined) - (start - base):]
        clean = [{"role": ROLES[m["from"]], "content": m["value"]} for m in joined if m["value"]]
        first = next((i for i, m in enumerate(clean) if m["role"] == "user"), len(clean))
        yield name, alternating(m for i, m in enumerate(clean) if i >= first or m["role"] == "system")


def alternating(messages):
    """Of several questions in a row the last counts, of several answers the first."""
    kept = []
    for message in messages:
        roles = (kept[-1]["role"] if kept else None, message["role"])
        if roles == ("user", "user"):
            kept[-1] = message
        elif roles != ("assistant", "assistant"):
            kept.append(message)
    return kept


def tokenizer(folder):
    config = json.load(open(os.path.join(folder, "tokenizer_config.json"), encoding="utf-8"))
    text = lambda token: token["content"] if isinstance(token, dict) else token
    tokens = {key: text(config[key]) for key in ("bos_token", "eos_token", "pad_token", "unk_token") if config.get(key)}
    made = PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"), **tokens)
    made.chat_template = config.get("chat_template") or open(sys.argv[4], encoding="utf-8").read()
    return made


def main():
    dataset, folder, trace = sys.argv[1:4]
    model = tokenizer(folder)
    streams, prompts = {}, {}
    with open(trace, encoding="utf-8") as file:
        next(file)
        for line in file:
            request = json.loads(line)
            before = streams.get(request["session_id"], [])
            prompt = before[: request["shared"]] + request["tokens"]
            streams[request["session_id"]] = prompt + request["output"]
            prompts[request["request_id"]] = prompt
    same = different = missing = refused = 0
    for name, messages in chats(dataset):
        turn = 0
        for index in range(len(messages) - 1):
            if (messages[index]["role"], messages[index + 1]["role"]) != ("user", "assistant"):
                continue
            try:
                ids = model.apply_chat_template(messages[: index + 1], add_generation_prompt=True, tokenize=True)
            except Exception:
                refused += 1
                continue
            ids = ids if isinstance(ids, list) else ids["input_ids"]
            found = prompts.pop(f"{name}_turn{turn}", None)
            turn += 1
            if found is None:
                missing += 1
            elif found == ids:
                same += 1
            else:
                different += 1
                if different <= 3:
                    at = next((i for i, (a, b) in enumerate(zip(found, ids)) if a != b), min(len(found), len(ids)))
                    print(f"{name}_turn{turn - 1}: differs at {at}: {found[at:at + 5]} against {ids[at:at + 5]}")
    print(f"{same} prompts equal, {different} differ, {missing} missing, {refused} refused by the template, {len(prompts)} extra")
    sys.exit(bool(different or missing))


if __name__ == "__main__":
    main()
