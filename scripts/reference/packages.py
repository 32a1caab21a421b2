"""Gets a package of PyPI: its wheel unpacked, and a Python environment of its own. Both are kept and found again."""

import pathlib
import re
import subprocess
import sys
import zipfile

#: Tried where this machine's own platform has no wheel; only Python files of these wheels are used.
OTHER_PLATFORMS = [
    *(f"manylinux_2_{minor}_x86_64" for minor in (34, 31, 28, 27, 24, 17)),
    "manylinux2014_x86_64",
    "manylinux1_x86_64",
    "any",
]


class Failed(Exception):
    """Something that the user can mend, in one line."""


def run(command, **more):
    """Runs a command; its standard output. A command that fails ends the program with its last lines."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-15:]
        raise Failed(f"failed: {' '.join(map(str, command))}\n" + "\n".join(lines))
    return done.stdout


def download(package, version, folder):
    """The wheel of a package, newest version if none is given, without what it depends on."""
    folder.mkdir(parents=True, exist_ok=True)
    name = package.replace("-", "_")
    if version:
        known = sorted(folder.glob(f"{name}-{version}-*.whl"))
        if known:
            return known[0]
    wanted = f"{package}=={version}" if version else package
    fresh = folder / "new"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", fresh, wanted]
    try:
        run(command)
    except Failed:
        platforms = [part for platform in OTHER_PLATFORMS for part in ("--platform", platform)]
        run([*command, *platforms, "--implementation", "cp", "--abi", "abi3", "--abi", "cp311", "--abi", "none"])
    wheel = next(fresh.glob("*.whl"))
    return wheel.replace(folder / wheel.name)


def version_of(wheel):
    """The version in the name of a wheel."""
    return wheel.name.split("-")[1]


def unpack(wheel, folder):
    """The Python files of a wheel, in a folder named after it."""
    target = folder / re.sub(r"-(?:cp|py)\d.*", "", wheel.name)
    done = target / ".unpacked"
    if not done.exists():
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".py"):
                    archive.extract(entry, target)
        done.touch()
    return target


def environment(folder, requirements):
    """The Python of a virtual environment with the requirements; made anew when they change."""
    python = folder / "bin" / "python"
    noted = folder / "requirements.txt"
    text = "\n".join(requirements) + "\n"
    if not noted.exists() or noted.read_text() != text:
        run([sys.executable, "-m", "venv", "--clear", folder])
        run([python, "-m", "pip", "install", "--quiet", *requirements])
        noted.write_text(text)
    return python


def installed(python, package):
    """The version of an installed package."""
    code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    return run([python, "-c", code, package]).strip()


def work_folder(path):
    """The absolute path of the folder for downloads, which is made."""
    folder = pathlib.Path(path).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
