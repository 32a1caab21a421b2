#!/usr/bin/env python3
"""Whole processes of `replay`, timed beside what people use today, in one run on one machine. Prints a Markdown table.

  cargo build --release
  python3 scripts/bench/pipeline.py --conversations sharegpt.json --tokenizer MODEL_DIR --mooncake mooncake.jsonl

REPLAY names the binary (default: target/release/replay). The peers need `pip install transformers jinja2
ai-dynamo-runtime` in the interpreter named by --python; a peer that cannot run is skipped, with the reason.
Wall time is from start to end of the process, the best of --runs; memory is the peak of the process (wait4).
"""
import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time

REPLAY = os.environ.get("REPLAY") or os.path.join(
    os.path.dirname(__file__), "..", "..", "target", "release", "replay")
ROLES = {"human": "user", "user": "user", "system": "system", "gpt": "assistant", "chatgpt": "assistant",
         "bing": "assistant", "bard": "assistant", "assistant": "assistant"}


def run_once(command):
    """Runs a command; prints wall time, peak memory, exit code and output as JSON."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    unit = 1 if platform.system() == "Darwin" else 1024
    print(json.dumps([wall, usage.ru_maxrss * unit / 1e6, process.returncode, *texts]))


def measure(command, runs):
    """Best wall time in seconds with its standard output, and peak memory in MB."""
    best, memory, best_text = float("inf"), 0.0, ""
    for _ in range(runs):
        # A process starts with the peak memory of the one that started it, so a small one does that.
        done = subprocess.run([sys.executable, __file__, "--once", *command], stdout=subprocess.PIPE, check=True)
        wall, peak, code, text, problem = json.loads(done.stdout)
        if code != 0:
            lines = problem.strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"exit code {code}")
        if wall < best:
            best, best_text = wall, text
        memory = max(memory, peak)
    return best, memory, best_text


def records(path):
    with open(path, encoding="utf-8") as file:
        first = file.read(1)
        file.seek(0)
        if first == "[":
            yield from json.load(file)
        else:
            yield from (json.loads(line) for line in file if line.strip())


def text_bytes(path):
    return sum(len((message.get("value") or "").encode())
               for record in records(path) for message in record["conversations"])


def joined_chats(path, count):
    """The first `count` chats of a split file that are plain exchanges, each chunk put behind the one before."""
    parts = {}
    for record in records(path):
        match = re.fullmatch(r"(.+)_(\d+)", record["id"])
        name, start = (match[1], int(match[2])) if match else (record["id"], 0)
        parts.setdefault(name, []).append((start, record["conversations"]))
    chats = []
    for name, chunks in parts.items():
        chunks.sort(key=lambda chunk: chunk[0])
        base, messages = chunks[0][0], []
        for start, more in chunks:
            if start - base > len(messages):
                break
            messages += more[len(messages) - (start - base):]
        roles = [ROLES.get(message["from"]) for message in messages]
        while roles and roles[0] == "assistant":
            roles, messages = roles[1:], messages[1:]
        turns = len(roles) // 2
        if turns and roles[:2 * turns] == ["user", "assistant"] * turns and all(m["value"] for m in messages):
            chats.append({"id": name, "conversations": messages[:2 * turns]})
            if len(chats) == count:
                break
    return chats


def write(path, chats):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(chat) + "\n" for chat in chats)


def made_up(turns, chats=1):
    """Chats of equal messages of some 500 characters, all different."""
    def message(chat, turn, who):
        words = (f"{chat} {turn} {who} {word * 7919 % 9973}" for word in range(30))
        return {"from": who, "value": ", ".join(words)}
    return [{"id": f"made-{chat}", "conversations": [message(chat, turn, who)
             for turn in range(turns) for who in ("human", "gpt")]} for chat in range(chats)]


def peer_transformers(path, folder):
    """The usual way: render and tokenize the whole prompt at each turn."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = ids = 0
    start = time.perf_counter()
    for record in records(path):
        messages = [{"role": ROLES[m["from"]], "content": m["value"]} for m in record["conversations"]]
        for upto in range(1, len(messages), 2):
            found = tokenizer.apply_chat_template(messages[:upto], add_generation_prompt=True, tokenize=True,
                                                  return_dict=False)
            prompts, ids = prompts + 1, ids + len(found)
    print(json.dumps({"prompts": prompts, "ids": ids, "seconds": time.perf_counter() - start}))


def peer_dynamo(path):
    """NVIDIA Dynamo's offline replay of the same file, with room for every block."""
    from dynamo._core import run_mocker_trace_replay
    start = time.perf_counter()
    found = run_mocker_trace_replay([path], trace_block_size=512, capture_planner_details=False,
                                    extra_engine_args={"engine": {"num_gpu_blocks": 1 << 18, "block_size": 512}})
    print(json.dumps({"seconds": time.perf_counter() - start, **{
        key: found.summary.get(key) for key in ("completed_requests", "first_admission_prefix_cache_reused_ratio")}}))


class Table:
    def __init__(self):
        print("| what | wall, s | memory, MB | rate | note |\n|---|---:|---:|---:|---|")

    def row(self, what, wall, memory, rate, note=""):
        print(f"| {what} | {wall:.2f} | {memory:.0f} | {rate} | {note} |", flush=True)

    def skipped(self, what, why):
        print(f"| {what} | | | skipped | {str(why).replace('|', '/')[:200]} |", flush=True)


def generation(table, args, folder):
    trace = os.path.join(folder, "trace.jsonl")
    size = text_bytes(args.conversations) / 1e6
    command = [REPLAY, "gen-trace", args.conversations, "--output", trace]
    wall, memory, _ = measure(command, args.runs)
    table.row("`gen-trace`, whole file, built-in vocabulary", wall, memory, f"{size / wall:.1f} MB/s", f"{size:.1f} MB of text")
    command += ["--tokenizer", args.tokenizer]
    start, _, _ = measure([*command, "--max-conversations", "1"], args.runs)
    wall, memory, _ = measure(command, args.runs)
    table.row("`gen-trace`, whole file", wall, memory, f"{size / wall:.1f} MB/s",
              f"one chat alone: {start:.2f} s, mostly loading tokenizer.json; less that: {size / (wall - start):.1f} MB/s")
    wall, memory, _ = measure([*command, "--threads", "1"], args.runs)
    table.row("`gen-trace`, whole file, 1 thread", wall, memory, f"{size / wall:.1f} MB/s")
    return trace, size / wall


def against_transformers(table, args, folder, whole):
    """`whole`: MB/s of one thread on the whole file, start included."""
    sample = os.path.join(folder, "sample.jsonl")
    write(sample, joined_chats(args.conversations, args.sample))
    size = text_bytes(sample) / 1e6
    ours, memory, _ = measure([REPLAY, "gen-trace", sample, "--tokenizer", args.tokenizer, "--threads", "1",
                               "--output", os.path.join(folder, "sample-trace.jsonl")], args.runs)
    table.row(f"`gen-trace`, {args.sample} chats, 1 thread", ours, memory, f"{size / ours:.1f} MB/s",
              f"{size:.2f} MB of text; mostly start-up")
    what = f"transformers, {args.sample} chats, whole prompt each turn"
    try:
        wall, memory, out = measure([args.python, __file__, "--peer", "transformers", sample, args.tokenizer], 1)
    except (RuntimeError, OSError) as error:
        return table.skipped(what, error)
    inner = json.loads(out.splitlines()[-1])
    rate = size / inner["seconds"]
    table.row(what, wall, memory, f"{rate:.3f} MB/s",
              f"{inner['prompts']:,} prompts, {inner['seconds']:.1f} s after import and load; one run; whole file on 1 thread "
              f"is {whole / rate:.0f} times this rate; whole processes on this sample: {wall / ours:.1f}")


def analysis(table, args, trace):
    read, _, _ = measure([REPLAY, "inspect", trace], args.runs)
    for extra in ([], ["--capacity", "10%"], ["--engine", "ideal"]):
        wall, memory, out = measure([REPLAY, "analyze", trace, "--json", *extra], args.runs)
        lookups = json.loads(out)["block_lookups"]
        own = max(wall - read, 1e-9)
        table.row(f"`analyze {' '.join(extra)}`".replace(" `", "`"), wall, memory, f"{lookups / wall / 1e6:.1f} M look-ups/s",
                  f"{lookups:,} look-ups; minus `inspect` ({read:.2f} s): {lookups / own / 1e6:.1f} M/s")


def against_dynamo(table, args):
    if not args.mooncake:
        return
    ours, memory, out = measure([REPLAY, "analyze", args.mooncake, "--json"], args.runs)
    found = json.loads(out)
    table.row("`analyze` of a Mooncake trace", ours, memory, f"{found['requests'] / ours / 1e3:.0f} k requests/s",
              f"token hit ratio {found['token_hit_ratio']:.4f}")
    what = "Dynamo's offline replay of the same file"
    try:
        wall, memory, out = measure([args.python, __file__, "--peer", "dynamo", args.mooncake], args.runs)
    except (RuntimeError, OSError) as error:
        return table.skipped(what, error)
    inner = json.loads(out.splitlines()[-1])
    table.row(what, wall, memory, f"{inner['completed_requests'] / inner['seconds'] / 1e3:.0f} k requests/s",
              f"{inner['seconds']:.2f} s in the call; reuse ratio {inner['first_admission_prefix_cache_reused_ratio']:.4f}; "
              f"simulates timing too; ratio {inner['seconds'] / ours:.1f} to whole `analyze`")


def linearity(table, args, folder):
    base = None
    for turns, chats in ((20, 200), (200, 20), (200, 200), (2000, 2)):
        path, trace = os.path.join(folder, "made.jsonl"), os.path.join(folder, "made-trace.jsonl")
        write(path, made_up(turns, chats))
        size = text_bytes(path) / 1e6
        wall, memory, _ = measure([REPLAY, "gen-trace", path, "--tokenizer", args.tokenizer,
                                   "--output", trace], args.runs)
        base = base or wall
        table.row(f"`gen-trace`, {chats} synthetic chats of {turns} turns", wall, memory, f"{size / wall:.1f} MB/s",
                  f"{size:.1f} MB of text; trace {os.path.getsize(trace) / 1e6:.1f} MB; {wall / base:.1f} times the first")
        wall, memory, _ = measure([REPLAY, "analyze", trace, "--json"], args.runs)
        table.row("`analyze` of it", wall, memory, "")


def main():
    if sys.argv[1:2] == ["--once"]:
        return run_once(sys.argv[2:])
    if sys.argv[1:2] == ["--peer"]:
        return {"transformers": peer_transformers, "dynamo": peer_dynamo}[sys.argv[2]](*sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", required=True, help="ShareGPT file: JSON array or JSON lines, not compressed")
    parser.add_argument("--tokenizer", required=True, help="model folder with tokenizer.json and tokenizer_config.json")
    parser.add_argument("--mooncake", help="Mooncake trace, to compare with Dynamo")
    parser.add_argument("--sample", type=int, default=300, help="chats for transformers (default 300)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, the best counts (default 3)")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peers")
    args = parser.parse_args()
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, "
          f"best of {args.runs}\n")
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        trace, whole = generation(table, args, folder)
        against_transformers(table, args, folder, whole)
        analysis(table, args, trace)
        against_dynamo(table, args)
        linearity(table, args, folder)


if __name__ == "__main__":
    main()
