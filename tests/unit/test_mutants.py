"""The tool that asks whether tests notice mistakes: which it makes, and which tests it holds to be near."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench" / "mutants"))

from nearest import nearest  # noqa: E402 - scripts of bench/, which is no package
from sites import mutations  # noqa: E402

SOURCE = '''"""Words."""
LIMIT = 5

@dataclass(frozen=True)
class Some:
    def works(self, é: int = 3) -> bool:
        """More words: 1 < 2."""
        if é >= 7 and not self.done:
            self.count += 1
            _log.warning("%s", 4)
            raise ValueError(f"{é + 1} is too many")
        return sorted(zip(a, b, strict=True), key=len)
'''


def test_each_mistake_is_one_and_only_in_what_behaves() -> None:
    found = mutations("some.py", SOURCE)
    made = {one.applied(SOURCE.encode()).decode().splitlines()[one.line - 1].strip() for one in found}
    assert made == {
        "if (é > 7) and not self.done:",
        "if (é < 7) and not self.done:",
        "if é >= (8) and not self.done:",
        "if é >= 7 and (self.done):",
        "if (é >= 7 or not self.done):",
        "if (not self.done):",
        "if (é >= 7):",
        "pass",
        "self.count += (2)",
        "return (sorted(zip(a, b, strict=True)))",
    }


def test_every_mistake_in_a_file_of_the_core_is_another_program() -> None:
    path = ROOT / "include" / "slipstream" / "stages" / "gate.py"
    source = path.read_text(encoding="utf-8")
    found = mutations("gate.py", source)
    assert len(found) > 100
    without = ast.dump(ast.parse(source))
    assert all(ast.dump(ast.parse(one.applied(source.encode()))) != without for one in found[::10])


def test_near_is_what_has_its_name_or_imports_it() -> None:
    assert nearest(ROOT, "slipstream.stages.gate", 3)[0] == "tests/unit/stages/test_gate.py"
    near = nearest(ROOT, "slipstream.serving.http.app", 8)
    assert near[0].startswith("tests/unit/serving/http/")
    assert "tests/unit/serving/test_requests.py" in near, "by way of its model"
