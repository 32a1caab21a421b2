"""Renders and encodes chats with transformers and tokenizers' own files. Started by rebuild.py with the Python of the package's
environment.

Without --requests, each tokenizer that has a chat template gets `NAME.jsonl.gz` (one line for each conversation, with and
without the generation prompt: the text and its ids, or why the template refuses) and `NAME.summary.json` (counts, and a
SHA-256 over all texts). With --requests, a log of requests, `NAME.hf.csv`: one line for each request.
"""

import argparse
import csv
import datetime
import gzip
import hashlib
import io
import json
import lzma
import os
import struct
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402
import jinja2  # noqa: E402
import tokenizers  # noqa: E402
from transformers.utils import chat_template_utils as utils  # noqa: E402

#: The day that templates see as today.
TODAY = datetime.datetime(2024, 7, 26)

#: Contents that templates or engines treat in their own ways; the same as in tests/reference/chat_templates.rs.
CONTENTS = [
    "Hello",
    "  leading and trailing \n",
    "\n\nlines\n\n",
    "<b>&amp; \"quotes\" 'single' \\back\\n</b>",
    "Grüße 日本語 🎉👩‍👩‍👧 ﷽ ß İ",
    "<think>\nreason\n</think>\n\nanswer",
    "<think>a</think>b<think>c</think>d",
    "only end</think> tail ",
    '<tool_response>\n{"a": 1.50}\n</tool_response>',
    "<tool_call>\n{}\n</tool_call>",
    "",
    "   ",
    "\x1c\x1da\x1e\x1f",
    "\x85\xa0b\u2028\u2029\u3000",
    "\ufeffc\u200b\ufeff",
    "{{ messages }}{% raw %}%s {} {0}",
    "\x0b\x0ctab\t\r\ncarriage\r",
    "/think /no_think system_override <|im_end|> [INST] </s>",
]


def conversations():
    """Short and long chats of such contents, some with roles in an order that templates refuse."""

    def message(role, content):
        return {"role": role, "content": content}

    def text(at):
        return CONTENTS[at % len(CONTENTS)]

    made = [[], [message("system", "alone")], [message("assistant", "alone")]]
    for at in range(len(CONTENTS)):
        for system in (False, True):
            for turns in (1, 2, 4):
                one = [message("system", text(at + 3 * turns))] if system else []
                for turn in range(turns):
                    one.append(message("user", text(at + 5 * turn)))
                    one.append(message("assistant", text(at + 7 * turn + turns - 1)))
                made += [one[:-1], one]
        roles = ("assistant", "tool", "tool", "assistant", "user")
        made.append([message("user", "call"), *(message(role, text(at + n)) for n, role in enumerate(roles))])
        made.append([message(role, text(at + n)) for n, role in enumerate(("user", "user", "system"))])
    made.append([message("assistant" if at % 2 else "user", text(at)) for at in range(16)])
    return made


class Clock(datetime.datetime):
    """The clock of `strftime_now`."""

    @classmethod
    def now(cls, tz=None):
        return TODAY


class Model:
    """A tokenizer and its chat template."""

    def __init__(self, folder):
        config = json.loads(self.read(folder, "tokenizer_config.json"))
        self.template = config.get("chat_template")
        named = ("bos_token", "eos_token", "pad_token", "unk_token")
        tokens = {name: config.get(name) for name in named}
        self.tokens = {k: v["content"] if isinstance(v, dict) else v for k, v in tokens.items() if v}
        self.tokenizer = tokenizers.Tokenizer.from_str(self.read(folder, "tokenizer.json"))

    @staticmethod
    def read(folder, name):
        """A file of the folder, packed or not."""
        path = os.path.join(folder, name)
        if os.path.exists(path + ".gz"):
            with gzip.open(path + ".gz", "rt", encoding="utf-8") as file:
                return file.read()
        with open(path, encoding="utf-8") as file:
            return file.read()

    def render(self, messages, generate, **variables):
        rendered, _ = utils.render_jinja_template(
            [messages],
            chat_template=self.template,
            add_generation_prompt=generate,
            **self.tokens,
            **variables,
        )
        return rendered[0]

    def encode(self, text):
        """Ids by the rules of tokenizer.json."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids


def auto_tokenizer(folder):
    """What AutoTokenizer makes of a tokenizer's folder. Where the configuration names a class that does not fit the file, as
    DeepSeek V3's names LlamaTokenizerFast, transformers 5 replaces the rules of tokenizer.json by those of that class."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as unpacked:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            with open(os.path.join(unpacked, name), "w", encoding="utf-8") as file:
                file.write(Model.read(folder, name))
        return AutoTokenizer.from_pretrained(unpacked)


def answer(model, messages, generate):
    """The text and its ids, or why there is none."""
    try:
        text = model.render(messages, generate)
    # raise_exception gives the base class itself; the engine's own errors are of classes below it.
    except jinja2.TemplateError as error:
        return {"rejected": str(error)} if type(error) is jinja2.TemplateError else {"failed": str(error)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"ok": text, "ids": model.encode(text)}


def chat_templates(model, name, out):
    """Writes the case of one tokenizer."""
    rows, digest, counts = [], hashlib.sha256(), {"ok": 0, "rejected": 0, "failed": 0}
    for messages in conversations():
        for generate in (False, True):
            found = answer(model, messages, generate)
            kind = next(iter(found))
            counts[kind] += 1
            # Messages of failures are each engine's own.
            digest.update((f"{kind} {found[kind]}\0" if kind != "failed" else "failed\0").encode())
            rows.append({"messages": messages, "generate": generate} | found)
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    cases.write_gzip(os.path.join(out, f"{name}.jsonl.gz"), "".join(lines))
    summary = {"cases": len(rows)} | counts | {"texts_sha256": digest.hexdigest()}
    with open(os.path.join(out, f"{name}.summary.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(summary, indent=1) + "\n")
    print(f"wrote {name}", flush=True)


def only_text(messages):
    """The messages, if no part of a content is an image or audio, which need more than a tokenizer."""
    for message in messages:
        if isinstance(message.get("content"), list):
            if any(part.get("type") not in ("text", None) for part in message["content"]):
                raise ValueError("not text: a content part is an image or audio")
    return messages


def requests(model, name, tokenizer, log, out):
    """Writes what becomes of the messages of logged requests as they are, without the template variables of a request."""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["line", "id", "status", "prompt_tokens", "ids_sha256", "text_sha256", "error"])
    with lzma.open(log, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            record = json.loads(line)
            request = record["request"]
            try:
                text = model.render(only_text(request["messages"]), True, tools=request.get("tools"))
            except Exception as error:
                table.writerow([number, record["id"], "rejected", 0, "", "", f"{type(error).__name__}: {error}"])
                continue
            ids = tokenizer.encode(text, add_special_tokens=False)
            packed = hashlib.sha256(struct.pack(f"<{len(ids)}I", *ids)).hexdigest()
            digest = hashlib.sha256(text.encode()).hexdigest()
            table.writerow([number, record["id"], "ok", len(ids), packed, digest, ""])
    with open(os.path.join(out, f"{name}.hf.csv"), "w", encoding="utf-8", newline="") as file:
        file.write(written.getvalue())
    print(f"wrote {name}.hf", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tokenizers", required=True, help="folder of tokenizers' folders")
    parser.add_argument("--requests", help="log of requests, .jsonl.xz")
    parser.add_argument("--out", required=True, help="folder for the cases")
    parser.add_argument("--only", action="append", help="name of a case; may be repeated")
    arguments = parser.parse_args()
    utils.datetime = Clock
    for name in sorted(os.listdir(arguments.tokenizers)):
        case = f"{name}.hf" if arguments.requests else name
        if arguments.only and case not in arguments.only:
            continue
        if not os.path.isdir(os.path.join(arguments.tokenizers, name)):
            continue
        model = Model(os.path.join(arguments.tokenizers, name))
        if model.template is None:
            continue
        if arguments.requests:
            tokenizer = auto_tokenizer(os.path.join(arguments.tokenizers, name))
            requests(model, name, tokenizer, arguments.requests, arguments.out)
        else:
            chat_templates(model, name, arguments.out)


if __name__ == "__main__":
    main()
