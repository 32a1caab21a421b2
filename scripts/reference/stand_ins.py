"""Imports chosen modules of an unpacked package without the rest of it and without what it depends on.

An inference engine's cache manager is pure Python, but importing it pulls in torch, CUDA kernels and web servers. Here the
modules whose names match a pattern are loaded from the unpacked wheel; every other module of the package, and every
third-party module that is not installed, is a stand-in: its attributes are empty classes that can be called, subscripted,
subclassed and used as decorators.
"""

import fnmatch
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
import typing


class _Empty(type(typing.Protocol)):
    """The type of the classes that stand in for missing ones. Derived from the type of protocols, so that a class may have a
    stand-in and a protocol or an abstract class as its bases."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return empty(f"{cls.__name__}.{name}")

    def __call__(cls, *args, **kwargs):
        if "_stands_in" not in vars(cls):
            # A real class that was derived from a stand-in.
            return super().__call__(*args, **kwargs)
        is_decorator = len(args) == 1 and not kwargs and isinstance(args[0], (types.FunctionType, type))
        return args[0] if is_decorator else cls

    def __getitem__(cls, key):
        return cls

    def __or__(cls, other):
        return cls

    __ror__ = __or__

    def __iter__(cls):
        return iter(())

    def __bool__(cls):
        return False


def empty(name):
    """An empty class of that name."""
    return _Empty(name, (), {"_stands_in": True})


class _Module(types.ModuleType):
    """A module that has every attribute."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = empty(name)
        setattr(self, name, value)
        return value


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The finder of the package's modules, first in `sys.meta_path`, and of missing modules, last."""

    def __init__(self, package, folder, real):
        self.package, self.folder, self.real = package, folder, real
        self.stood_in = set()

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top != self.package:
            return None
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.real):
            base = os.path.join(self.folder, *name.split("."))
            for file, places in ((base + ".py", None), (os.path.join(base, "__init__.py"), [base])):
                if os.path.exists(file):
                    return importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
        return self.stand_in(name)

    def stand_in(self, name):
        """The specification of a module that stands in for one."""
        self.stood_in.add(name)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return _Module(spec.name)

    def exec_module(self, module):
        pass


class _Missing(importlib.abc.MetaPathFinder):
    """Finds, after all others, a stand-in for a third-party module."""

    def __init__(self, owner):
        self.owner = owner

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.stdlib_module_names:
            return None
        return self.owner.stand_in(name)


def install(package, folder, real):
    """Makes `import package.x` load the modules that match one of the patterns `real` from the folder."""
    finder = StandIns(package, folder, real)
    sys.meta_path.insert(0, finder)
    sys.meta_path.append(_Missing(finder))
    return finder
