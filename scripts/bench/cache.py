#!/usr/bin/env python3
"""The cache laboratory beside libCacheSim and KVCache.AI's simulator, in one run on one machine. Prints a Markdown table.

  cargo build --release && cargo bench --no-run
  python3 -m venv peers && peers/bin/pip install libcachesim==0.3.5 kvcache-simulator==0.1.3 numpy
  peers/bin/python scripts/bench/cache.py --mooncake mooncake_conversation_trace.jsonl --chats trace.jsonl.zst

Nothing is installed here; a peer that is missing is skipped, with the reason. `--chats` is a trace with token ids, as
`replay gen-trace` writes it. REPLAY names another binary. Runs of ours and the peer's alternate, and the best of each counts.
Policies are compared by processor time inside the process (so: without reading the file into memory here, which
libCacheSim maps and reads as it goes), everything else by wall time of whole processes. Linux only.
"""
import argparse
import glob
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
REPLAY = os.environ.get("REPLAY") or os.path.join(ROOT, "target", "release", "replay")
PEERS = {"lru": "LRU", "fifo": "FIFO", "clock": "Clock", "sieve": "Sieve", "s3-fifo": "S3FIFO", "2q": "TwoQ", "slru": "SLRU",
         "arc": "ARC", "lirs": "LIRS", "lfu": "LFU", "w-tinylfu": "WTinyLFU", "gdsf": "GDSF", "lecar": "LeCaR",
         "cacheus": "Cacheus", "random": "Random", "belady": "Belady"}
# vLLM 0.33's own KVCacheManager, driven alone request by request; measured apart on a machine of this class.
VLLM_BLOCKS = 0.207e6


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
    print(json.dumps([wall, usage.ru_maxrss * unit, process.returncode, *texts]))


def once(command):
    """Wall time, peak memory in bytes and standard output."""
    # A process starts with the peak memory of the one that started it, so a small one does that.
    done = subprocess.run([sys.executable, __file__, "--once", *command], stdout=subprocess.PIPE, check=True)
    wall, peak, code, text, problem = json.loads(done.stdout)
    if code != 0:
        lines = problem.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"exit code {code}")
    return wall, peak, text


def zipf_file(path, uses, objects):
    """Uses by Zipf's law with exponent 0.9, in oracleGeneral format; how many objects came up."""
    import numpy
    random = numpy.random.default_rng(1)
    total = numpy.cumsum(numpy.arange(1, objects + 1, dtype=float) ** -0.9)
    ids = numpy.searchsorted(total, random.random(uses) * total[-1])
    order = numpy.argsort(ids, kind="stable")
    following = numpy.full(uses, -1, dtype="<i8")
    same = ids[order[1:]] == ids[order[:-1]]
    following[order[:-1][same]] = order[1:][same]
    records = numpy.zeros(uses, dtype=[("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
    records["time"], records["id"], records["size"] = numpy.arange(uses), ids + 1, 1
    records["next"] = following
    records.tofile(path)
    return int(uses - same.sum())


def peer_libcachesim(path, policy, capacity):
    """One policy on a file by libCacheSim's own loop in C."""
    import libcachesim
    reader = libcachesim.TraceReader(path, libcachesim.TraceType.ORACLE_GENERAL_TRACE,
                                     libcachesim.ReaderInitParam(ignore_obj_size=True))
    cache = getattr(libcachesim, PEERS[policy])(int(capacity))
    start = time.thread_time()
    misses, _ = cache.process_trace(reader)
    print(json.dumps({"seconds": time.thread_time() - start, "misses": misses}))


def peer_python(*arguments):
    return json.loads(once([sys.executable, __file__, "--peer", *arguments])[2].splitlines()[-1])


def bench_binary():
    """The newest build of benches/policies.rs, or what REPLAY_BENCH names."""
    if os.environ.get("REPLAY_BENCH"):
        return os.environ["REPLAY_BENCH"]
    found = [path for path in glob.glob(os.path.join(ROOT, "target", "release", "deps", "policies-*"))
             if os.access(path, os.X_OK) and not path.endswith(".d")]
    if not found:
        sys.exit("benches/policies.rs is not built: cargo bench --no-run")
    return max(found, key=os.path.getmtime)


def own_policy(binary, path, policy, capacity):
    environment = {"REPLAY_BENCH_STREAM": path, "REPLAY_BENCH_CAPACITY": str(capacity), "REPLAY_BENCH_POLICIES": policy}
    done = subprocess.run([binary], env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


class Table:
    def __init__(self):
        print("| what | ours | peer | ratio | note |\n|---|---:|---:|---:|---|")

    def row(self, what, ours, peer="", ratio="", note=""):
        print(f"| {what} | {ours} | {peer} | {ratio} | {note} |", flush=True)


def millions(rate):
    return f"{rate / 1e6:.2f} M/s"


def policies(table, args, folder):
    binary = bench_binary()
    path = os.path.join(folder, "zipf.oracleGeneral")
    distinct = zipf_file(path, args.uses, args.objects)
    capacity = distinct // 10
    names = args.policies.split(",") if args.policies else list(PEERS)
    for policy in names:
        ours, theirs, problem = [], [], ""
        for _ in range(args.runs):
            ours.append(own_policy(binary, path, policy, capacity))
            try:
                theirs.append(peer_python("libcachesim", path, policy, str(capacity)))
            except RuntimeError as error:
                problem = str(error)
        best = min(run["seconds"] for run in ours)
        miss = ours[0]["misses"] / args.uses
        note = f"misses {miss:.4f}; {ours[0]['bytes'] / distinct:.0f} bytes per distinct block"
        if not theirs:
            table.row(f"policy `{policy}`", millions(args.uses / best), "skipped", "", f"{note}; {problem[:120]}")
            continue
        peer = min(run["seconds"] for run in theirs)
        table.row(f"policy `{policy}`", millions(args.uses / best), millions(args.uses / peer), f"{peer / best:.1f}",
                  f"{note}; libCacheSim misses {theirs[0]['misses']:.4f}")
    wide = os.path.join(folder, "wide.oracleGeneral")
    zipf_file(wide, args.uses, 2 * args.objects)
    runs = [own_policy(binary, wide, "lru", 1_000_000) for _ in range(args.runs)]
    best = min(run["seconds"] for run in runs)
    table.row("`lru`, a million resident", millions(args.uses / best), "", "",
              f"{runs[0]['distinct']:,} distinct; {runs[0]['bytes'] / runs[0]['distinct']:.0f} bytes per distinct block")


def through_export(table, args, folder):
    """The same answer by way of the exported file."""
    path = os.path.join(folder, "mooncake.oracleGeneral")
    once([REPLAY, "export", args.mooncake, "--to", "oracle-general", "--output", path])
    capacity = 10_000
    _, _, text = once([REPLAY, "analyze", args.mooncake, "--engine", "block", "--count", "access", "--capacity", str(capacity),
                       "--json"])
    ours = json.loads(text)["block_hit_ratio"]
    try:
        theirs = 1 - peer_python("libcachesim", path, "lru", str(capacity))["misses"]
    except RuntimeError as error:
        return table.row("Mooncake trace exported, LRU", f"{ours:.6f}", "skipped", "", str(error)[:120])
    table.row("Mooncake trace exported, LRU of 10,000 blocks", f"{ours:.6f}", f"{theirs:.6f}", "", "block hit ratios")


def chats(table, args):
    """The exact engine, and the curve, on a trace of chats."""
    inspect = min(once([REPLAY, "inspect", args.chats])[0] for _ in range(args.runs))
    cell = []
    for _ in range(args.runs):
        _, _, text = once([REPLAY, "sweep", args.chats, "--engine", "vllm", "--eviction", "lru", "--capacity", "10%", "--json"])
        cell.append(json.loads(text)["cells"][0]["seconds"])
    _, _, text = once([REPLAY, "analyze", args.chats, "--json"])
    found = json.loads(text)
    rate = found["block_lookups"] / min(cell)
    table.row("engine `vllm`, capacity 10 %", millions(rate), f"({VLLM_BLOCKS / 1e6} M/s)", f"{rate / VLLM_BLOCKS:.0f}",
              f"{found['block_lookups']:,} look-ups; time of the replay; peer: vLLM 0.33's own manager, not run here")
    walls = [once([REPLAY, "curve", args.chats, "--json"]) for _ in range(args.runs)]
    wall = min(wall for wall, _, _ in walls)
    table.row("`curve`, whole process", millions(found["block_lookups"] / wall), "", "",
              f"{wall:.2f} s with reading and hashing ({inspect:.2f} s `inspect`); peak {walls[0][1] / 1e6:.0f} MB")


def larger(source, target, copies):
    """A Mooncake trace several times over, each time with ids of its own."""
    with open(source, encoding="utf-8") as file:
        requests = [json.loads(line) for line in file]
    step = 1 + max(max(request["hash_ids"], default=0) for request in requests)
    period = 1000 + max(request["timestamp"] for request in requests)
    with open(target, "w", encoding="utf-8") as file:
        for copy in range(copies):
            for request in requests:
                ids = [block + copy * step for block in request["hash_ids"]]
                time_of = request["timestamp"] + copy * period
                file.write(json.dumps({**request, "timestamp": time_of, "hash_ids": ids}) + "\n")
    return sum(len(request["hash_ids"]) for request in requests) * copies


def sweep(table, args, folder):
    """15 budgets and 3 policies, whole processes."""
    path = os.path.join(folder, "larger.jsonl")
    blocks = larger(args.mooncake, path, args.copies)
    budgets = ",".join(str(2**power) for power in range(15))
    theirs = [sys.executable, "-m", "kvcache_sim", "run", "--trace", path, "--model", args.model, "--block-size", "512",
              "--budgets-gib", budgets, "--no-progress", "--format", "json"]
    peer, capacities, problem = [], None, ""
    try:
        found = json.loads(once(theirs)[2])
        # It leaves budgets out that it simulated but did not fill.
        bytes_per_block = found["metadata"]["bytesPerBlock"]
        capacities = [int(2**power * 2**30 // bytes_per_block) for power in range(15)]
    except (RuntimeError, KeyError) as error:
        problem = str(error)
    capacities = capacities or [100 * 2**power for power in range(15)]
    ours = [REPLAY, "sweep", path, "--engine", "ideal", "--eviction", "fifo,leaf-lru,belady-leaf", "--order", "head-first", "--capacity",
            ",".join(map(str, capacities)), "--json"]
    one, own = [], []
    for _ in range(args.runs):
        own.append(once(ours))
        one.append(once([*ours, "--threads", "1"]))
        if not problem:
            peer.append(once(theirs))
    wall, single = min(run[0] for run in own), min(run[0] for run in one)
    distinct = json.loads(once([REPLAY, "analyze", path, "--json"])[2]).get("distinct_blocks")
    note = f"{len(capacities)} budgets, 3 policies, {blocks:,} blocks; one thread {single:.2f} s, peak {one[0][1] / 1e6:.0f} MB"
    if distinct:
        note += f" = {one[0][1] / distinct:.0f} bytes per distinct block, trace and all"
    if not peer:
        return table.row("sweep", f"{wall:.2f} s", "skipped", "", f"{note}; {problem[:120]}")
    best = min(run[0] for run in peer)
    table.row("sweep, whole process", f"{wall:.2f} s", f"{best:.2f} s", f"{best / wall:.1f}",
              f"{note} ({best / single:.1f} times); peer peak {peer[0][1] / 1e6:.0f} MB")
    window(table, args, path, folder, found)


def window(table, args, path, folder, found):
    """The peer counts the second half of the requests only: ours of all, less ours of the first half."""
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    half = os.path.join(folder, "half.jsonl")
    with open(half, "w", encoding="utf-8") as file:
        file.writelines(lines[:len(lines) // 2])
    capacities = [point["cacheBlocks"] for point in found["points"]]
    tokens = []
    for trace in (path, half):
        command = [REPLAY, "sweep", trace, "--engine", "ideal", "--eviction", "fifo,leaf-lru", "--order", "head-first", "--capacity",
                   ",".join(map(str, capacities)), "--json"]
        cells = json.loads(once(command)[2])["cells"]
        prompt = json.loads(once([REPLAY, "analyze", trace, "--json"])[2])["prompt_tokens"]
        tokens.append((prompt, {(cell["policy"], cell["capacity_blocks"]): cell["token_hit_ratio"] * prompt for cell in cells}))
    (whole, of_whole), (first, of_first) = tokens
    worst, compared = 0.0, 0
    for point in found["points"]:
        for ours, theirs in (("fifo", "fifo"), ("leaf-lru", "lru")):
            result = point["results"][theirs]
            key = (ours, point["cacheBlocks"])
            worst = max(worst, abs((of_whole[key] - of_first[key]) / (whole - first) - result["hitRate"]))
            compared += 1
    table.row("its token hit ratios, second half of the requests", "", "", "",
              f"{compared} cells of fifo and lru compared, largest difference {worst:.5f}")


def main():
    if sys.argv[1:2] == ["--once"]:
        return run_once(sys.argv[2:])
    if sys.argv[1:2] == ["--peer"]:
        return {"libcachesim": peer_libcachesim}[sys.argv[2]](*sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mooncake", help="Mooncake conversation trace, for the export and the sweep")
    parser.add_argument("--chats", help="a trace with token ids, for engine vllm and the curve")
    parser.add_argument("--uses", type=int, default=10_000_000, help="uses of the Zipf trace (default 10 million)")
    parser.add_argument("--objects", type=int, default=2_000_000, help="objects to draw from (default 2 million)")
    parser.add_argument("--policies", help="only these, with commas; none for no policies")
    parser.add_argument("--copies", type=int, default=6, help="how often the Mooncake trace is repeated for the sweep")
    parser.add_argument("--model", default="llama-3.1-8b", help="the peer's name of a model, for its sizes in GiB")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, the best counts (default 3)")
    args = parser.parse_args()
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, load "
          f"{os.getloadavg()[0]:.1f} at the start, best of {args.runs}\n")
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        if args.policies != "none":
            policies(table, args, folder)
        if args.mooncake:
            through_export(table, args, folder)
            sweep(table, args, folder)
        if args.chats:
            chats(table, args)


if __name__ == "__main__":
    main()
