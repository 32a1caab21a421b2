#!/usr/bin/env python3
"""The same runs by `replay simulate` and by Vidur, timed in one go on one machine. Prints a Markdown table.

  cargo build --release
  python3 scripts/bench/vidur.py RUN_DIR... --tables DIR --traces DIR [--vidur CHECKOUT --python ENV/bin/python]

A run is a folder with Vidur's config.json. --tables has `*_exact_*.csv.gz`; both sides read their times from there, so
that neither trains a predictor. --traces has the trace files that the configurations name (packed ones too, for replay).
Ours is the CPU time of the whole process: start, reading of tables and trace, simulation, printing. Vidur's is that of
`Simulator.run()` alone, without imports, tables and output. Without --vidur its figure is the recorded one of the run's
timing.json, on whatever machine that was, and the table says so. REPLAY names the binary.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

REPLAY = os.environ.get("REPLAY") or os.path.join(
    os.path.dirname(__file__), "..", "..", "target", "release", "replay")


def ours(config, trace, tables, runs):
    """Least CPU seconds of a process, and its figures."""
    command = [REPLAY, "simulate", trace, "--config", config, "--vidur-tables", tables, "--threads", "1", "--json"]
    best, text = float("inf"), ""
    for _ in range(runs):
        with tempfile.TemporaryFile() as out:
            process = subprocess.Popen(command, stdout=out)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                raise RuntimeError(f"exit code {process.returncode}: {' '.join(command)}")
            out.seek(0)
            best, text = min(best, usage.ru_utime + usage.ru_stime), out.read()
    return best, json.loads(text)


def theirs(args, config, trace):
    """CPU seconds and batches of Vidur's loop, in an interpreter of its own."""
    command = [args.python, __file__, "--inside", config, trace, args.tables]
    environment = {**os.environ, "PYTHONPATH": args.vidur}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=args.vidur, env=environment)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode(errors="replace").strip().splitlines()[-1])
    return json.loads(done.stdout.decode().strip().splitlines()[-1])


def inside(config_file, trace, tables):
    """Runs in Vidur's interpreter: its simulator, with times looked up in the tables."""
    import bisect
    import csv
    import gzip
    import time
    import types

    # This file's own name would hide the package.
    sys.path.pop(0)
    for absent in ("wandb", "plotly_express"):
        try:
            __import__(absent)
        except ImportError:
            sys.modules[absent] = types.SimpleNamespace(run=None)
    from vidur.config import config as configs
    from vidur.execution_time_predictor import ExecutionTimePredictorRegistry
    from vidur.scheduler.replica_scheduler.base_replica_scheduler import BaseReplicaScheduler
    from vidur.types import ExecutionTimePredictorType
    from vidur.utils.random import set_seeds

    with open(config_file, encoding="utf-8") as file:
        given = json.load(file)
    replica = given["cluster_config"]["replica_config"]
    name = replica["model_name"].split("/")[-1].lower().removeprefix("meta-").removesuffix("-hf")
    prefix = f"{replica['device']}_{name.replace('llama-', 'llama', 1)}_tp{replica['tensor_parallel_size']}"
    model = replica["model_config"]
    longer = 0.1 if model["num_q_heads"] > model["num_kv_heads"] else 0.0

    def rows(part):
        with gzip.open(os.path.join(tables, f"{prefix}_exact_{part}.csv.gz"), "rt") as file:
            return [[float(cell) for cell in row] for row in list(csv.reader(file))[1:]]

    class Table:
        def __init__(self, **_):
            self.linear = {int(tokens): ms for tokens, ms in rows("linear_ms")}
            self.save = {int(tokens): ms for tokens, ms in rows("kvsave_ms")}
            self.decode = {int(row[0]): row[1:] for row in rows("decode_ms")}
            self.prefill = {}
            for context, start, ms in rows("prefill_ms_rle"):
                starts, values = self.prefill.setdefault(int(context), ([], []))
                starts.append(start)
                values.append(ms)

        def get_execution_time(self, batch, _stage):
            contexts, squares, past, prompts = [], 0, 0, 0
            for request, tokens in zip(batch.requests, batch.num_tokens):
                if request.is_prefill_complete:
                    contexts.append(request.num_processed_tokens)
                else:
                    prompts += 1
                    squares += tokens * tokens
                    past += int(-(-request.num_processed_tokens // 64) * 64)
            tokens = int(batch.total_num_tokens)
            ms = self.linear[-(-tokens // 8) * 8] + self.save[tokens]
            if prompts:
                starts, values = self.prefill[past]
                value = values[bisect.bisect_right(starts, round(squares ** 0.5)) - 1]
                ms += value * (1 + longer * (prompts > 1))
            if contexts:
                mean = int(sum(contexts) // len(contexts))
                ms += self.decode[len(contexts)][-(-mean // 64)] * (1 + longer * (len(contexts) > 1))
            return types.SimpleNamespace(total_time=ms / 1e3, model_time=ms / 1e3, num_layers=model["num_layers"])

    kind = ExecutionTimePredictorType.RANDOM_FORREST
    ExecutionTimePredictorRegistry.unregister(kind)
    ExecutionTimePredictorRegistry.register(kind, Table)

    def build(base, values):
        """The subclass of a configuration by its name, with its values."""
        for kind in base.__subclasses__():
            if str(kind.get_type()).lower() == values["name"]:
                known = kind.__dataclass_fields__
                return kind(**{key: value for key, value in values.items() if key in known})
        raise ValueError(values["name"])

    cluster = given["cluster_config"]
    with tempfile.TemporaryDirectory() as folder:
        config = configs.SimulationConfig(
            seed=given["seed"],
            cluster_config=configs.ClusterConfig(
                num_replicas=cluster["num_replicas"],
                replica_config=configs.ReplicaConfig(
                    model_name=replica["model_name"], tensor_parallel_size=replica["tensor_parallel_size"],
                    device=replica["device"], network_device=replica["network_device"]),
                global_scheduler_config=build(configs.BaseGlobalSchedulerConfig, cluster["global_scheduler_config"]),
                replica_scheduler_config=build(
                    configs.BaseReplicaSchedulerConfig, cluster["replica_scheduler_config"])),
            request_generator_config=build(
                configs.BaseRequestGeneratorConfig, {**given["request_generator_config"], "trace_file": trace}),
            execution_time_predictor_config=configs.RandomForrestExecutionTimePredictorConfig(),
            metrics_config=configs.MetricsConfig(
                output_dir=folder, enable_chrome_trace=False, store_plots=False))
        from vidur.simulator import Simulator

        # Batches are counted where a replica hands them out.
        batches, schedule = [0], BaseReplicaScheduler.on_schedule

        def counted(self):
            made = schedule(self)
            batches[0] += len(made)
            return made

        BaseReplicaScheduler.on_schedule = counted
        set_seeds(given["seed"])
        simulator = Simulator(config)
        started = time.process_time()
        simulator.run()
        spent = time.process_time() - started
        print(json.dumps({"run_cpu_s": spent, "batches": batches[0]}), flush=True)
        # Its results are of no interest here; they would be written at exit.
        os._exit(0)


def find(folder, config, unpacked):
    """The trace that a configuration names: as it is, and unpacked."""
    with open(config, encoding="utf-8") as file:
        name = os.path.basename(json.load(file)["request_generator_config"]["trace_file"])
    plain = os.path.join(folder, name)
    if os.path.exists(plain):
        return plain, plain
    packed = plain + ".gz"
    if not os.path.exists(packed):
        raise RuntimeError(f"{name} is not in {folder}")
    target = os.path.join(unpacked, name)
    if not os.path.exists(target):
        import gzip
        with gzip.open(packed, "rb") as source, open(target, "wb") as out:
            shutil.copyfileobj(source, out)
    return packed, target


def main():
    if sys.argv[1:2] == ["--inside"]:
        return inside(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="+", help="folder with Vidur's config.json")
    parser.add_argument("--tables", required=True)
    parser.add_argument("--traces", required=True)
    parser.add_argument("--vidur", help="checkout of microsoft/vidur; default: the recorded timing.json")
    parser.add_argument("--python", default=sys.executable, help="interpreter with Vidur's requirements")
    parser.add_argument("--runs", type=int, default=3, help="ours: best of so many")
    args = parser.parse_args()
    args.tables = os.path.abspath(args.tables)
    source = "measured" if args.vidur else "recorded"
    print(f"| run | requests | batches, Vidur | batches, replay | Vidur, CPU s ({source}) | replay, CPU s | ratio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as unpacked:
        for run in args.run:
            config = os.path.abspath(os.path.join(run, "config.json"))
            packed, plain = find(os.path.abspath(args.traces), config, unpacked)
            spent, figures = ours(config, packed, args.tables, args.runs)
            if args.vidur:
                other = theirs(args, config, plain)
            else:
                with open(os.path.join(run, "timing.json"), encoding="utf-8") as file:
                    other = json.load(file)
            figures = figures[0] if isinstance(figures, list) else figures
            with open(plain, encoding="utf-8") as file:
                requests = sum(1 for _ in file) - 1
            steps = figures.get("steps", "?")
            print(f"| {os.path.basename(os.path.normpath(run))} | {requests} | {other['batches']} | {steps} | "
                  f"{other['run_cpu_s']:.2f} | {spent:.3f} | {other['run_cpu_s'] / spent:.0f} |", flush=True)
    return None


if __name__ == "__main__":
    main()
