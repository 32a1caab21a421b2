"""Counts the misses of libCacheSim's eviction policies on streams of equal blocks. Started by rebuild.py with the Python of
the package's environment.

The misses of each stream are written as `STREAM.csv`, and the stream, unless a unit test makes it itself, as a trace with one
block a request, `trace_STREAM.jsonl.gz`.
"""

import argparse
import bisect
import json
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402
import libcachesim  # noqa: E402

#: libCacheSim's class of each policy that has one.
CLASSES = {
    "lru": "LRU",
    "fifo": "FIFO",
    "clock": "Clock",
    "sieve": "Sieve",
    "belady": "Belady",
    "s3-fifo": "S3FIFO",
    "2q": "TwoQ",
    "slru": "SLRU",
    "arc": "ARC",
    "lirs": "LIRS",
    "w-tinylfu": "WTinyLFU",
    "lfu": "LFU",
    "gdsf": "GDSF",
    "lecar": "LeCaR",
    "cacheus": "Cacheus",
}
#: These draw random numbers, one sequence a process: their counts depend on what was counted before.
RANDOM = ("lecar", "cacheus")
NEVER = (1 << 63) - 1


def misses(policy, stream, following, capacity):
    """How often libCacheSim misses."""
    cache = getattr(libcachesim, CLASSES[policy])(capacity, hashpower=16)
    missed = 0
    for block, after in zip(stream, following):
        request = libcachesim.Request()
        request.obj_id = block
        request.obj_size = 1
        request.next_access_vtime = after
        missed += not cache.get(request)
    return missed


def next_uses(stream):
    """When each use's block is used next."""
    seen = {}
    following = [NEVER] * len(stream)
    for at in range(len(stream) - 1, -1, -1):
        following[at] = seen.get(stream[at], NEVER)
        seen[stream[at]] = at
    return following


def golden_stream(seed, scans):
    """Of 5,000 blocks the one of rank r is used in proportion to 1 / r; on average after each 200 uses, where there are
    scans, 64 new blocks follow one another. The same arithmetic as in src/cache/eviction/golden.rs."""
    state = seed

    def draw():
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return state >> 33

    bounds, total = [], 0
    for rank in range(1, 5001):
        total += (1 << 32) // rank
        bounds.append(total)
    stream, fresh = [], 5000
    while len(stream) < 100_000:
        if scans and draw() % 200 == 0:
            stream.extend(range(fresh, fresh + 64))
            fresh += 64
        high = draw()
        stream.append(bisect.bisect_right(bounds, ((high << 31) | draw()) % total))
    return stream[:100_000]


def zipf_stream(alpha, objects, length, seed, scans=False):
    """Blocks by Zipf's law, with runs of new blocks where there are scans."""
    generator = random.Random(seed)
    weights, total = [], 0.0
    for rank in range(1, objects + 1):
        total += rank**-alpha
        weights.append(total)
    stream = generator.choices(range(objects), cum_weights=weights, k=length)
    if not scans:
        return stream
    mixed, fresh = [], objects
    for block in stream:
        mixed.append(block)
        if generator.random() < 0.002:
            run = generator.randrange(50, 500)
            mixed.extend(range(fresh, fresh + run))
            fresh += run
    return mixed


def dense(stream):
    """Ids by order of first use."""
    ids = {}
    return [ids.setdefault(block, len(ids)) for block in stream]


#: Each stream and the capacities in blocks. The first two are those of src/cache/eviction/golden.rs.
STREAMS = {
    "golden": (lambda: golden_stream(7, False), [100, 500, 2_000]),
    "golden_scans": (lambda: golden_stream(11, True), [100, 500, 2_000]),
    "zipf_0.7": (lambda: dense(zipf_stream(0.7, 10_000, 200_000, 1)), [500, 2_000]),
    "zipf_0.9": (lambda: dense(zipf_stream(0.9, 20_000, 200_000, 2)), [500, 2_000]),
    "zipf_1.1": (lambda: dense(zipf_stream(1.1, 20_000, 200_000, 3)), [200, 1_000]),
    "zipf_0.9_scans": (lambda: dense(zipf_stream(0.9, 10_000, 150_000, 4, True)), [500, 2_000]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", required=True, help="folder for the cases")
    parser.add_argument("--only", action="append", help="name of a stream; may be repeated")
    arguments = parser.parse_args()
    streams = {name: (make(), capacities) for name, (make, capacities) in STREAMS.items()}
    selected = [name for name in STREAMS if not arguments.only or name in arguments.only]
    lines = {name: ["policy,capacity_blocks,misses"] for name in STREAMS}
    following = {name: next_uses(stream) for name, (stream, _) in streams.items()}
    for policy in CLASSES:
        if not hasattr(libcachesim, CLASSES[policy]):
            print(f"this version has no {policy}")
            continue
        for name in STREAMS if policy in RANDOM else selected:
            stream, capacities = streams[name]
            for capacity in capacities:
                lines[name].append(f"{policy},{capacity},{misses(policy, stream, following[name], capacity)}")
    for name in selected:
        with open(os.path.join(arguments.out, f"{name}.csv"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines[name]) + "\n")
        if name.startswith("golden"):
            # The unit tests make these themselves; a trace would give the blocks other ids, which W-TinyLFU hashes.
            print(f"wrote {name}", flush=True)
            continue
        requests = (
            json.dumps({"timestamp": at, "input_length": 512, "output_length": 1, "hash_ids": [block]})
            for at, block in enumerate(streams[name][0])
        )
        cases.write_gzip(os.path.join(arguments.out, f"trace_{name}.jsonl.gz"), "\n".join(requests) + "\n")
        print(f"wrote {name}", flush=True)


if __name__ == "__main__":
    main()
