"""Renders conversations with transformers' own chat template code, for the test `oracle_agrees` of
tests/reference/chat_templates.rs.

usage: render_templates.py < request.json > answers.json

Request: {"date": [y, m, d], "templates": [{"source", "tokens": {...}}], "cases": [{"messages", "generate"}]}.
Answer: one list per template, with {"ok": text}, {"rejected": message} or {"failed": message} per case.
"""

import datetime
import json
import sys

import jinja2
from transformers.utils import chat_template_utils as utils


def main():
    request = json.load(sys.stdin)
    today = datetime.datetime(*request["date"])

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return today

    utils.datetime = Clock
    answers = []
    for template in request["templates"]:
        try:
            utils._compile_jinja_template(template["source"])
        except jinja2.TemplateError as error:
            answers.append([{"invalid": str(error)}] * len(request["cases"]))
            continue
        answers.append([answer(template, case) for case in request["cases"]])
    json.dump(answers, sys.stdout)


def answer(template, case):
    try:
        rendered, _ = utils.render_jinja_template(
            [case["messages"]],
            chat_template=template["source"],
            add_generation_prompt=case["generate"],
            **template["tokens"],
        )
        return {"ok": rendered[0]}
    # raise_exception gives the base class itself; the engine's own errors are of classes below it.
    except jinja2.TemplateError as error:
        kind = "rejected" if type(error) is jinja2.TemplateError else "failed"
        return {kind: str(error)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
