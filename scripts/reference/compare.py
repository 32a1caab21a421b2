"""Compares the files of two reference folders, case by case and row by row."""

import csv
import gzip
import io
import json


def text(path):
    """The text of a file, unpacked."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            return file.read()
    return path.read_text(encoding="utf-8")


def rows(path):
    """A file as a list of (name, content), so that the first that differs can be named."""
    content = text(path)
    name = path.name.removesuffix(".gz")
    if name.endswith(".json"):
        value = json.loads(content)
        return [(f"key {key}", part) for key, part in value.items()]
    if name.endswith(".jsonl"):
        return [(f"line {at}", json.loads(line)) for at, line in enumerate(content.rstrip("\n").split("\n"), 1)]
    if name.endswith(".csv"):
        return [(f"line {at}", row) for at, row in enumerate(csv.reader(io.StringIO(content)), 1)]
    return [(f"line {at}", line) for at, line in enumerate(content.rstrip("\n").split("\n"), 1)]


def shown(value):
    """A value as text that fits into a line."""
    line = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return line if len(line) <= 200 else line[:197] + "..."


def difference(new, old):
    """What differs first between two files, or None."""
    ours, theirs = rows(new), rows(old)
    differing = sum(a != b for a, b in zip(ours, theirs)) + abs(len(ours) - len(theirs))
    if not differing:
        return None
    for (name, found), (_, known) in zip(ours, theirs):
        if found != known:
            if isinstance(found, dict) and isinstance(known, dict):
                keys = [key for key in known | found if found.get(key) != known.get(key)]
                found, known = ({key: value.get(key) for key in keys} for value in (found, known))
            break
    else:
        name, found, known = "end", f"{len(ours)} rows", f"{len(theirs)} rows"
    return f"{differing} of {max(len(ours), len(theirs))} rows differ, first {name}: {shown(found)}, was {shown(known)}"


def case_of(file):
    """The case that a file belongs to, or None for inputs and notes."""
    name = file.name
    if name.startswith(("trace_", "README", "made_with")):
        return None
    for ending in (".summary.json", ".jsonl.gz", ".csv.gz", ".json", ".csv"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return None


def files_of(folder):
    """The files of a folder by case."""
    found = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        case = case_of(file)
        if case:
            found.setdefault(case, []).append(file.name)
    return found


def compare(new, old, only=None, say=print):
    """Compares two folders of cases, or those cases of them whose names are given; how many changed or are missing."""
    ours, theirs = files_of(new), files_of(old)
    bad = 0
    for case in sorted(only or ours | theirs):
        files = sorted({*ours.get(case, []), *theirs.get(case, [])})
        places = [(file, folder) for file in files for folder in (new, old) if not (folder / file).exists()]
        told = [f"{file}: {found}" for file in files if not places and (found := difference(new / file, old / file))]
        if not files or places:
            file, folder = places[0] if places else (case, new)
            say(f"missing    {case}: {folder / file}")
        elif told:
            say(f"changed    {case}: " + "; ".join(told))
        else:
            say(f"unchanged  {case}")
        bad += bool(not files or places or told)
    return bad
