"""The groups that --group-by finds in file names, within a second.

A regular expression may take for ever on a name, and Python cannot stop it: hence in a
process of its own. The package ``regex`` can, but reads some patterns otherwise.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence

from keras_unet.errors import BadUsage

_SECONDS = 1
_CODE = """
import json, re, sys
print(flush=True)
pattern, names = json.load(sys.stdin)
pattern = re.compile(pattern)
matches = map(pattern.search, names)
group = min(1, pattern.groups)
json.dump([match and match.group(group) for match in matches], sys.stdout)
"""


def find_groups(group_by: str, names: Sequence[str]) -> list[str | None]:
    """Returns what the first group of the expression, or all of it, finds in each name.

    Raises:
        BadUsage: it is no regular expression, or takes more than a second in all.
    """
    try:
        re.compile(group_by)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadUsage(
            f"--group-by {group_by} is no regular expression: {error}"
        ) from error
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            if process.stdout:
                process.stdout.readline()  # Its start does not count.
            text = json.dumps([group_by, list(names)])
            found, _ = process.communicate(text, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise BadUsage(
                f"--group-by {group_by} takes more than {_SECONDS} s for the "
                f"{len(names)} names, such as {names[0]}: repeat nothing that is "
                "repeated itself, as in (a+)+"
            ) from None
        finally:
            process.kill()
    groups: list[str | None] = json.loads(found)
    return groups
