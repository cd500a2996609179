"""Makes the bytecode of a folder of sources: python3 compile.py FOLDER

As compileall does, but without what only a reader of the sources needs and a daemon would keep in
memory: docstrings of modules and functions, and the columns of each instruction. Asserts stay. A
dataclass without a docstring would make one of its signature, so that of a class stays, too.
"""

import ast
import importlib.util
import sys
from importlib import _bootstrap_external  # type: ignore[attr-defined]
from pathlib import Path


def bytecode(source: bytes, path: Path) -> bytes:
    """What Python reads in place of that file, for as long as it is as it is now. Raises
    SyntaxError.
    """
    tree = ast.parse(source, str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    code = compile(tree, str(path), "exec", dont_inherit=True, optimize=0)
    told = path.stat()
    made: bytearray = _bootstrap_external._code_to_timestamp_pyc(
        code, int(told.st_mtime), told.st_size
    )
    return bytes(made)


def _drop_docstring(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    if ast.get_docstring(node, clean=False) is None:
        return
    first = node.body.pop(0)
    if not node.body and not isinstance(node, ast.Module):
        node.body.append(ast.copy_location(ast.Pass(), first))


def main(folder: Path) -> int:
    """Returns 1 where a file is no source for this Python, and the others are done."""
    code = 0
    for path in sorted(folder.rglob("*.py")):
        made = Path(importlib.util.cache_from_source(str(path), optimization=""))
        try:
            data = bytecode(path.read_bytes(), path)
        except (SyntaxError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            code = 1
            continue
        made.parent.mkdir(exist_ok=True)
        made.write_bytes(data)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
