"""Traces and result files of the cache managers' cases."""

import gzip
import json
import os
import random

#: The trace of the shared reference data, and the one that is generated where there is none.
SHARED_TRACE = "trace_2000.jsonl.gz"
GENERATED_TRACE = "trace_generated.jsonl.gz"


def write_gzip(path, text):
    """Writes compressed text, or bytes, such that the file depends on nothing but the text."""
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text if isinstance(text, bytes) else text.encode())


def write_case(folder, name, rows, summary):
    """Writes a case: its rows and its summary."""
    lines = (json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    write_gzip(os.path.join(folder, f"{name}.jsonl.gz"), "".join(lines))
    with open(os.path.join(folder, f"{name}.summary.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(summary, indent=1))


def read_trace(path):
    """The requests of a trace, in file order."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def generate(requests=2000, seed=7):
    """Requests of conversations that interleave, half of which begin with one of two system prompts. After each turn 72 % go
    on; one prompt in twelve fills its last block of 16. Uses only `Random.random`, whose values no Python version changes."""
    draw = random.Random(seed).random

    def between(low, high):
        return low + int(draw() * (high - low))

    def ids(count):
        return [between(0, 32000) for _ in range(count)]

    systems = [ids(48), ids(120)]
    made = []
    conversation = 0
    while len(made) < requests:
        kind = draw()
        history = list(systems[0]) if kind < 0.3 else list(systems[1]) if kind < 0.5 else []
        time, turn = draw() * 1500, 0
        while turn == 0 or (turn < 20 and draw() < 0.72):
            history += ids(between(8, 260) if draw() < 0.9 else between(260, 520))
            if draw() < 1 / 12:
                history += ids(-len(history) % 16)
            response = ids(between(16, 320))
            made.append(
                {
                    "request_id": f"c{conversation}_turn{turn}",
                    "conversation_id": f"c{conversation}",
                    "turn_index": turn,
                    "arrival_time": round(time, 6),
                    "prompt_token_ids": list(history),
                    "response_token_ids": response,
                }
            )
            history += response
            time += 5 + draw() * 60
            turn += 1
        conversation += 1
    del made[requests:]
    made.sort(key=lambda request: (request["arrival_time"], request["request_id"]))
    return made


def write_trace(path, requests):
    """Writes a trace as `replay analyze` reads it."""
    lines = (json.dumps(request, separators=(",", ":")) + "\n" for request in requests)
    write_gzip(path, "".join(lines))
