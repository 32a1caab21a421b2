"""Drives SGLang's own radix cache request by request. Started by rebuild.py with the Python of the package's environment.

For one request after another: `match_prefix` on the prompt without its last token, a lock on what was found, `evict` of what
the pool lacks, `insert`, unlock. Slots are page numbers of a plain list here; SGLang's own allocator needs torch.
"""

import argparse
import array
import importlib
import itertools
import os
import sys
import types

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402
import stand_ins  # noqa: E402

#: The modules that are SGLang's own; all others are stood in for.
REAL = [
    "sglang.srt.mem_cache.radix_cache",
    "sglang.srt.mem_cache.base_prefix_cache",
    "sglang.srt.mem_cache.cache_init_params",
    "sglang.srt.mem_cache.evict_policy",
    "sglang.srt.mem_cache.events",
    "sglang.srt.mem_cache.session_radix_cache",
    "sglang.srt.mem_cache.utils",
]

#: A pool that nothing ever has to leave.
UNBOUNDED = 67108864

#: Page size, tokens of the pool, eviction policy, whether responses enter the tree, name.
CASES = [
    (16, 32768, "lru", False, "sglang_ps16_c32768_lru"),
    (16, 32768, "lfu", False, "sglang_ps16_c32768_lfu"),
    (16, 32768, "fifo", False, "sglang_ps16_c32768_fifo"),
    (16, 32768, "filo", False, "sglang_ps16_c32768_filo"),
    (16, 32768, "mru", False, "sglang_ps16_c32768_mru"),
    (16, 32768, "slru", False, "sglang_ps16_c32768_slru"),
    (16, 32768, "priority", False, "sglang_ps16_c32768_priority"),
    (16, 32768, "lru", True, "sglang_ps16_c32768_lru_output"),
    (16, 8192, "lru", False, "sglang_ps16_c8192_lru"),
    (16, UNBOUNDED, "lru", False, f"sglang_ps16_c{UNBOUNDED}_lru"),
    (16, UNBOUNDED, "lru", True, "sglang_ps16_inf_lru_output"),
    (1, 32768, "lru", False, "sglang_ps1_c32768_lru"),
]


class Slots(list):
    """Token slots, in place of a tensor of them."""

    def __getitem__(self, place):
        found = super().__getitem__(place)
        return Slots(found) if isinstance(place, slice) else found

    def clone(self):
        return Slots(self)


class Pool:
    """The pages of a KV pool: takes the oldest free ones, and refuses to free a page twice."""

    device = "cpu"

    def __init__(self, size, page_size):
        self.page_size = page_size
        # Page 0 is SGLang's padding page. Pages that were never used are counted, not listed.
        self.pages, self.fresh, self.free_pages = size // page_size, 1, []
        self.is_free = set()

    def available_size(self):
        return (self.pages - (self.fresh - 1) + len(self.free_pages)) * self.page_size

    def alloc(self, tokens):
        """Slots of whole pages for that many tokens."""
        slots = Slots()
        for _ in range(-(-tokens // self.page_size)):
            if self.free_pages:
                page = self.free_pages.pop()
                self.is_free.remove(page)
            else:
                page, self.fresh = self.fresh, self.fresh + 1
            slots.extend(range(page * self.page_size, (page + 1) * self.page_size))
        return slots

    def free(self, slots):
        for page in dict.fromkeys(slot // self.page_size for slot in slots):
            assert page not in self.is_free, f"page {page} is freed twice"
            self.is_free.add(page)
            self.free_pages.append(page)

    def free_segment(self, slots, start_pos=0):
        self.free(slots)


class Sglang:
    """The classes of one version of SGLang."""

    def __init__(self, folder):
        stand_ins.install("sglang", folder, REAL)
        import torch

        torch.empty = lambda *args, **kwargs: Slots()
        torch.cat = lambda parts: Slots(itertools.chain.from_iterable(parts))
        self.radix = importlib.import_module("sglang.srt.mem_cache.radix_cache")
        self.base = importlib.import_module("sglang.srt.mem_cache.base_prefix_cache")
        try:
            self.params = importlib.import_module("sglang.srt.mem_cache.cache_init_params").CacheInitParams
        except (ImportError, AttributeError):
            self.params = None
        # Orders of use must not depend on how fast this machine is: the clock is a counter that never ties.
        tick = itertools.count(1)
        self.radix.time = types.SimpleNamespace(monotonic=lambda: next(tick), time=lambda: next(tick), perf_counter=lambda: 0.0)

    def new_cache(self, pool, page_size, policy):
        return self.radix.RadixCache(
            self.params(
                disable=False,
                req_to_token_pool=None,
                token_to_kv_pool_allocator=pool,
                page_size=page_size,
                eviction_policy=policy,
            )
        )

    def key(self, tokens):
        return self.radix.RadixKey(array.array("q", tokens))


def run(sglang, trace, page_size, capacity, policy, output):
    """The rows and the totals of one case."""
    pool = Pool(capacity, page_size)
    cache = sglang.new_cache(pool, page_size, policy)
    base = sglang.base
    rows, rejected, hits, total_evicted = [], 0, 0, 0
    conserve = True

    def make_room(tokens):
        """Evicts what the pool lacks; how much was evicted and whether the tokens fit now."""
        lacking = tokens - pool.available_size()
        if lacking <= 0:
            return 0, True
        evicted = cache.evict(base.EvictParams(num_tokens=lacking)).num_tokens_evicted
        return evicted, pool.available_size() >= tokens

    def pages(tokens):
        return -(-tokens // page_size) * page_size

    for line in trace:
        prompt = line["prompt_token_ids"]
        found = cache.match_prefix(base.MatchPrefixParams(key=sglang.key(prompt[:-1])))
        node = found.last_device_node
        # Before 0.5.22 the result held the slots instead of their number.
        earlier = getattr(found, "device_indices", None)
        cached = found.device_prefix_len if earlier is None else len(earlier)
        cache.inc_lock_ref(node)
        evicted, fits = make_room(pages(len(prompt)) - cached)
        row = {"request_id": line["request_id"], "num_prompt_tokens": len(prompt)}
        if not fits:
            cache.dec_lock_ref(node)
            rows.append(row | {"num_cached_tokens": 0, "evicted_tokens": evicted, "rejected": True})
            rejected += 1
            total_evicted += evicted
            continue
        held = cache.path_device_indices(node) if earlier is None else earlier
        slots = held + pool.alloc(len(prompt) - cached)
        tokens = prompt
        if output:
            tokens = prompt + line["response_token_ids"][:-1]
            more, _ = make_room(pages(len(tokens)) - pages(len(prompt)))
            evicted += more
            slots += pool.alloc(pages(len(tokens)) - pages(len(prompt)))
        key = sglang.key(tokens[: len(tokens) // page_size * page_size])
        inserted = cache.insert(base.InsertParams(key=key, value=Slots(slots[: len(key)])))
        # Pages that the tree had in the meantime, and the last page where it is not full.
        pool.free(slots[cached : inserted.prefix_len])
        pool.free(slots[len(key) : len(tokens)])
        cache.dec_lock_ref(node)
        rows.append(row | {"num_cached_tokens": cached, "evicted_tokens": evicted})
        hits += cached
        total_evicted += evicted
        conserve = conserve and cache.total_size() + pool.available_size() == capacity
    prompt_tokens = sum(len(r["prompt_token_ids"]) for r in trace)
    summary = {
        "requests": len(trace),
        "rejected": rejected,
        "prompt_tokens": prompt_tokens,
        "hit_tokens": hits,
        "token_hit_rate": round(hits / prompt_tokens, 8),
        "evicted_tokens": total_evicted,
        "tree_tokens": cache.total_size(),
        "free_tokens": pool.available_size(),
        "conserve": conserve,
    }
    return rows, summary


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--package", required=True, help="folder of the unpacked wheel")
    parser.add_argument("--trace", required=True, help="token trace")
    parser.add_argument("--trace-name", required=True, help="the trace's path from the folder of the cases")
    parser.add_argument("--out", required=True, help="folder for the cases")
    parser.add_argument("--only", action="append", help="name of a case; may be repeated")
    arguments = parser.parse_args()
    sglang = Sglang(arguments.package)
    trace = cases.read_trace(arguments.trace)
    for page_size, capacity, policy, output, name in CASES:
        if arguments.only and name not in arguments.only:
            continue
        try:
            sglang.new_cache(None, page_size, policy)
        except ValueError as error:
            print(f"no {name}: {error}", flush=True)
            continue
        rows, totals = run(sglang, trace, page_size, capacity, policy, output)
        summary = {
            "trace": arguments.trace_name,
            "page_size": page_size,
            "capacity_tokens": capacity,
            "policy": policy,
            "output": output,
        }
        cases.write_case(arguments.out, name, rows, summary | totals)
        print(f"wrote {name}", flush=True)


if __name__ == "__main__":
    main()
