"""Drives vLLM's own KV cache manager request by request. Started by rebuild.py with the Python of the package's environment.

Follows the scheduler for one request after another: `get_computed_blocks`, `allocate_slots` for the whole rest of the
prompt, and, where responses are decoded, `allocate_slots` for one token at a time.
"""

import argparse
import collections
import inspect
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402
import stand_ins  # noqa: E402

#: The modules that are vLLM's own; all others are stood in for.
REAL = [
    "vllm.v1.core.block_pool",
    "vllm.v1.core.kv_cache_*",
    "vllm.v1.core.single_type_kv_cache_manager",
    "vllm.v1.core.specialized_manager",
    "vllm.v1.hisparse.block_pool",
    "vllm.v1.kv_cache_*",
    "vllm.v1.metrics.stats",
    "vllm.v1.request",
    "vllm.v1.utils",
    "vllm.utils.hashing",
    "vllm.utils.math_utils",
    "vllm.distributed.kv_events",
    "vllm.envs",
]

#: Block size, `num_gpu_blocks`, how the response is treated, and how many requests before the current one stay unfreed.
CASES = [
    (16, 2049, "none", 0),
    (16, 2049, "none", 8),
    (16, 2049, "step", 0),
    (16, 257, "none", 0),
    (16, 262144, "none", 0),
    (16, 8193, "none", 0),
    (1, 65537, "none", 0),
    (32, 262144, "none", 0),
]


def accepted(function, **arguments):
    """Those of the arguments that the function takes: signatures grow with the versions."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in known}


class Vllm:
    """The classes of one version of vLLM."""

    def __init__(self, folder):
        self.finder = stand_ins.install("vllm", folder, REAL)
        import importlib

        self.utils = importlib.import_module("vllm.v1.core.kv_cache_utils")
        self.interface = importlib.import_module("vllm.v1.kv_cache_interface")
        self.manager = importlib.import_module("vllm.v1.core.kv_cache_manager")
        self.request = importlib.import_module("vllm.v1.request")
        self.hashing = self.utils
        for place in ("vllm.utils.hashing", "vllm.utils"):
            module = importlib.import_module(place)
            if "sha256" in vars(module):
                self.hashing = module
                break
        # Two functions of modules that are stood in for.
        self.request.length_from_prompt_token_ids_or_embeds = lambda ids, embeds: len(ids)
        self.request.StructuredOutputRequest = type(
            "StructuredOutputRequest", (), {"from_sampling_params": staticmethod(lambda params: None)}
        )

    def free_order(self):
        """The order of freed blocks, where it is not today's: earlier versions appended blocks without a hash, too."""
        return {} if hasattr(self.utils.FreeKVCacheBlockQueue, "prepend_n") else {"free_order": "legacy"}

    def hasher(self, block_size, algorithm="sha256"):
        """The function that hashes a request's blocks."""
        function = getattr(self.hashing, algorithm)
        self.utils.init_none_hash(function)
        return self.utils.get_request_block_hasher(block_size, function)

    def new_manager(self, block_size, num_blocks, max_model_len):
        interface = self.interface
        spec = interface.FullAttentionSpec(
            **accepted(
                interface.FullAttentionSpec, block_size=block_size, num_kv_heads=1, head_size=1, dtype=None, use_mla=False
            )
        )
        group = interface.KVCacheGroupSpec(**accepted(interface.KVCacheGroupSpec, layer_names=["layer"], kv_cache_spec=spec))
        config = interface.KVCacheConfig(
            **accepted(
                interface.KVCacheConfig,
                num_blocks=num_blocks,
                kv_cache_tensors=[],
                tensors={},
                kv_cache_groups=[group],
                hash_block_size=block_size,
                cache_hit_alignment_tokens=block_size,
            )
        )
        return self.manager.KVCacheManager(
            **accepted(
                self.manager.KVCacheManager,
                kv_cache_config=config,
                max_model_len=max_model_len,
                scheduler_block_size=block_size,
                hash_block_size=block_size,
                enable_caching=True,
                log_stats=True,
            )
        )

    def new_request(self, name, prompt, hasher, salt=None, lora=None):
        sampling = type("Sampling", (), {"max_tokens": 1 << 20, "extra_args": None})
        sampling.__getattr__ = lambda self, name: None
        return self.request.Request(
            **accepted(
                self.request.Request,
                request_id=name,
                prompt_token_ids=list(prompt),
                multi_modal_inputs=None,
                multi_modal_kwargs=None,
                multi_modal_hashes=None,
                multi_modal_placeholders=None,
                mm_features=None,
                sampling_params=sampling(),
                pooling_params=None,
                eos_token_id=0,
                arrival_time=0.0,
                lora_request=lora,
                cache_salt=salt,
                block_hasher=hasher,
            )
        )


class Counter:
    """Counts the blocks that are taken from a pool, and those of them that still carried a hash."""

    def __init__(self, pool):
        self.taken = self.evicted = 0
        take, evict = pool.get_new_blocks, pool._maybe_evict_cached_block

        def get_new_blocks(count):
            blocks = take(count)
            self.taken += len(blocks)
            return blocks

        def maybe_evict(block):
            evicted = evict(block)
            self.evicted += bool(evicted)
            return evicted

        pool.get_new_blocks, pool._maybe_evict_cached_block = get_new_blocks, maybe_evict


def run(vllm, trace, block_size, num_blocks, decode, hold):
    """The rows and the totals of one case."""
    hasher = vllm.hasher(block_size)
    longest = max(len(r["prompt_token_ids"]) + len(r["response_token_ids"]) for r in trace)
    manager = vllm.new_manager(block_size, num_blocks, longest + 1)
    counter = Counter(manager.block_pool)
    held = collections.deque()
    rows, totals = [], collections.Counter()
    stats = collections.Counter()

    def look_up(request):
        blocks, tokens = manager.get_computed_blocks(request)[:2]
        return blocks, tokens

    for line in trace:
        prompt = line["prompt_token_ids"]
        request = vllm.new_request(line["request_id"], prompt, hasher)
        taken, evicted = counter.taken, counter.evicted
        while True:
            blocks, cached = look_up(request)
            slots = manager.allocate_slots(request, len(prompt) - cached, cached, blocks)
            if slots is not None or not held:
                break
            manager.free(held.popleft())
        row = {"request_id": line["request_id"], "num_prompt_tokens": len(prompt)}
        if slots is None:
            manager.free(request)
            rows.append(row | {"num_cached_tokens": 0, "num_new_blocks": 0, "evicted_blocks": 0, "rejected": True})
            totals["rejected"] += 1
            # The scheduler records a lookup when the request is let in.
            continue
        row |= {
            "num_cached_tokens": cached,
            "num_new_blocks": counter.taken - taken,
        }
        stats.update(requests=1, queries=len(prompt), hits=cached)
        totals.update(
            hit_tokens=cached, new_blocks=row["num_new_blocks"], full_prompt_blocks=len(prompt) // block_size
        )
        request.num_computed_tokens = len(prompt)
        if decode == "step":
            for token in line["response_token_ids"][:-1]:
                request.append_output_token_ids(token)
                if manager.allocate_slots(request, 1) is None:
                    break
                request.num_computed_tokens += 1
        # Blocks that the response took away count, too.
        rows.append(row | {"evicted_blocks": counter.evicted - evicted})
        held.append(request)
        while len(held) > hold:
            manager.free(held.popleft())
    for request in held:
        manager.free(request)
    prompt_tokens = sum(len(r["prompt_token_ids"]) for r in trace)
    summary = {
        "requests": len(trace),
        "rejected": totals["rejected"],
        "prompt_tokens": prompt_tokens,
        "hit_tokens": totals["hit_tokens"],
        "token_hit_rate": round(totals["hit_tokens"] / prompt_tokens, 8),
        "stats": {key: stats[key] for key in ("requests", "queries", "hits")},
        # Of the prompts that fitted.
        "full_prompt_blocks": totals["full_prompt_blocks"],
        "hit_blocks": totals["hit_tokens"] // block_size,
        "new_blocks": totals["new_blocks"],
        "evictions": counter.evicted,
        "cached_hashes_at_end": len(manager.block_pool.cached_block_hash_to_block),
        "free_blocks_at_end": manager.block_pool.get_num_free_blocks(),
    }
    return rows, summary


def hash_vectors(vllm, seed):
    """Hashes of the first blocks of the tokens 0, 1, 2, ...: plain, with a salt, with a LoRA adapter."""
    if seed:
        vectors = {}
        for algorithm in ("xxhash_cbor", "sha256_cbor"):
            function = getattr(vllm.hashing, algorithm, None)
            if function is None:
                continue
            blocks = vllm.new_request("r", range(16), vllm.hasher(16, algorithm)).block_hashes
            vectors[f"{algorithm}_PYTHONHASHSEED0"] = {"NONE_HASH": vllm.utils.NONE_HASH.hex(), "b0": blocks[0].hex()}
        return vectors
    vectors = {}
    lora = type("Lora", (), {"lora_name": "ad", "lora_path": "/p", "lora_int_id": 1, "name": "ad"})()
    for algorithm in ("sha256", "sha256_cbor"):
        hasher = vllm.hasher(16, algorithm)
        blocks = vllm.new_request("r", range(32), hasher).block_hashes
        salted = vllm.new_request("r", range(16), hasher, salt="s1").block_hashes
        adapted = vllm.new_request("r", range(16), hasher, lora=lora).block_hashes
        vectors[algorithm] = {
            "NONE_HASH": vllm.utils.NONE_HASH.hex(),
            "b0_tokens0_15": blocks[0].hex(),
            "b1_tokens16_31": blocks[1].hex(),
            "b0_salt_s1": salted[0].hex(),
            "b0_lora_ad_p": adapted[0].hex(),
            # What vLLM's KV events carry where they carry integers.
            "b0_event_int64": int.from_bytes(blocks[0], "big") & ((1 << 64) - 1),
        }
    import cbor2

    none = vllm.utils.NONE_HASH
    vectors["cbor_input_b0_hex"] = cbor2.dumps((none, tuple(range(16)), None), canonical=True).hex()
    return vectors


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--package", required=True, help="folder of the unpacked wheel")
    parser.add_argument("--trace", help="token trace; without one, print the hash vectors")
    parser.add_argument("--out", help="folder for the cases")
    parser.add_argument("--only", action="append", help="name of a case; may be repeated")
    arguments = parser.parse_args()
    vllm = Vllm(arguments.package)
    if not arguments.trace:
        print(json.dumps(hash_vectors(vllm, os.environ.get("PYTHONHASHSEED"))))
        return
    trace = cases.read_trace(arguments.trace)
    for block_size, num_blocks, decode, hold in CASES:
        name = f"vllm_bs{block_size}_n{num_blocks}_{decode}_h{hold}"
        if arguments.only and name not in arguments.only:
            continue
        rows, totals = run(vllm, trace, block_size, num_blocks, decode, hold)
        summary = {
            "trace": os.path.basename(arguments.trace),
            "block_size": block_size,
            "num_gpu_blocks": num_blocks,
            "hash": "sha256",
            "decode": decode,
            "hold": hold,
            **vllm.free_order(),
        }
        cases.write_case(arguments.out, name, rows, summary | totals)
        print(f"wrote {name}", flush=True)


if __name__ == "__main__":
    main()
