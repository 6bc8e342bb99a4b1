"""The plan of the house, counted: where things live, what they are called, and that what is said of them is true."""

from __future__ import annotations

import ast
import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ("automl", "runners", "search_spaces")
SOURCES = sorted(path for package in PRODUCT for path in (ROOT / package).rglob("*.py"))
MODULES = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in SOURCES}
FILES = {module: path for path, module in MODULES.items()}
SETTINGS_FILE = "automl.toml"  # no module

# What a public function may begin with. A new verb is welcome here; a noun or a participle is not a verb.
VERBS_TEXT = """
accumulate add adjust allow append apply ask assign attach augment average await balance batch beat begin binarize blend
bootstrap build cache calibrate cancel center check choose claim clean clear clip close collect combine compare compile
compute connect convert copy count create crop cross cut deal decide declare decode delete derive describe detect
distill download drain draw drop encode end ensure enter escape estimate evaluate exclude expand explain extract feed
fill find finish fit flatten flush follow forget format forward freeze gather get group guard handle hash hide hold
ignore include index infer init initialize insert inspect interpolate invert iterate join judge keep kill label launch
leave limit link list load locate lock log look loop make map mark match measure merge mix move mute name narrow next
normalize note notify number observe offer open order pack pad pair parse partition pass pick place plan pool
postprocess predict prepare preprocess print propose prune put query raise rank read receive recommend record redraw
reduce refit refuse register reject release remove rename render repeat replace replay report request require rescale
reset resize resolve restart restore resume retry return round run sample save scale score search seed select send
separate serialize serve set settle shift show shuffle sign smooth sort split spread start step stop store stratify
strip submit subtract suggest sum summarize survey sweep sync take tell tidy to train transform translate trim try tune
unflatten unfold unfreeze unpack update upload use validate wait walk warm warn watch weigh weight wrap write yield
"""
VERBS = frozenset(VERBS_TEXT.split())
QUESTIONS = frozenset(
    ("is", "has", "can", "may", "needs", "from", "to", "on", "with", "without", "as")
)  # and conversions
# Nouns by which the field calls such functions.
NAMES_TEXT = """
accuracy alexnet autocast balanced_accuracy cleanup f1 f_beta f_beta_macro f_beta_micro f_beta_samples fileno lenet5
log_loss mae main mean_average_precision no_weight_decay partial_auc pf1 qwk r2 rmse roc_auc setup sigmoid softmax
state_dict top1_error weighted_auc weighted_log_loss weighted_r2
"""
NAMES_OF_THE_FIELD = frozenset(NAMES_TEXT.split())
COMMANDS = Path("automl/cli")  # a command's function is called as the command

PRIVATE_TEXT = """
asked bodies glance heard hurry lesson lessons looker neck said sights taught teachings voices voters wish
"""
PRIVATE_WORDS = frozenset(PRIVATE_TEXT.split())
PRIVATE_MESSAGES = re.compile(r"\bmend\b|nobody works on it|told apart|handed in|hand in\b")
TASK_BRANCHES, FILES_WITH_TASK_BRANCHES = 40, 12


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def imports_of(path: Path) -> frozenset[Path]:
    """The product's files that a file imports anywhere in it, for types alone too."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {FILES[alias.name] for alias in node.names if alias.name in FILES}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if name := inner if inner in FILES else node.module if node.module in FILES else None:
                    found.add(FILES[name])
    return frozenset(found - {path})


def test_few_modules_lie_at_the_root() -> None:
    assert len(list((ROOT / "automl").glob("*.py"))) <= 14


def test_no_two_modules_have_one_name() -> None:
    names = Counter(path.name for path in SOURCES if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.slow
def test_few_modules_are_imported_by_a_single_other_one() -> None:
    importers = Counter(imported for path in SOURCES for imported in imports_of(path))
    single = [MODULES[path] for path in SOURCES if importers[path] == 1 and path.name != "__init__.py"]
    # A command of the command line and a format of containers is a row of one table, which alone imports it.
    lonely = [name for name in single if not name.startswith(("automl.cli.", "automl.files.containers."))]
    assert len(lonely) <= 37, lonely


def test_no_import_goes_round_in_a_circle() -> None:
    remaining = {path: set(imports_of(path)) for path in SOURCES}
    while free := [path for path, imported in remaining.items() if not imported & remaining.keys()]:
        for path in free:
            del remaining[path]
    assert [MODULES[path] for path in remaining] == []


def test_no_file_is_longer_than_400_lines() -> None:
    assert [MODULES[path] for path in SOURCES if len(path.read_text().splitlines()) > 400] == []


def definitions(path: Path) -> Iterator[tuple[str, int]]:
    """Every name that a file gives: functions, classes, parameters, variables, fields."""
    for node in ast.walk(tree_of(path)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno


def words_of(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def test_names_are_words_of_the_field() -> None:
    private = {
        f"{path.relative_to(ROOT)}:{line}": name
        for path in SOURCES
        for name, line in [*definitions(path), (path.stem, 1)]
        if PRIVATE_WORDS & set(words_of(name)) or "told" in words_of(name) or words_of(name) in (["kind"], ["kinds"])
    }
    assert private == {}


def public_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Functions and methods that others may call; properties are nouns, and dunders are Python's."""
    classes = [node for node in tree_of(path).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    bodies = [tree_of(path).body, *(node.body for node in classes)]
    for node in itertools.chain.from_iterable(bodies):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not is_property(node):
            yield node.name, node.lineno


def is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_public_functions_are_verbs() -> None:
    nouns = {
        f"{path.relative_to(ROOT)}:{line}": name
        for path in SOURCES
        if COMMANDS not in path.relative_to(ROOT).parents
        for name, line in public_functions(path)
        if name.split("_")[0] not in VERBS | QUESTIONS and name not in NAMES_OF_THE_FIELD
    }
    assert nouns == {}


def test_messages_are_plain_english() -> None:
    private = {
        f"{path.relative_to(ROOT)}:{node.lineno}": node.value
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and PRIVATE_MESSAGES.search(node.value)
    }
    assert private == {}


def dotted_names(path: Path) -> Iterator[str]:
    """What docstrings and comments refer to by its full name."""
    yield from re.findall(rf"(?<![\w./])(?:{'|'.join(PRODUCT)})(?:\.(?!__)\w+)+", path.read_text())


def test_every_dotted_name_resolves() -> None:
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        for name in dotted_names(path)
        if not resolves(name) and name != SETTINGS_FILE
    }
    assert wrong == set()


@functools.cache
def resolves(name: str) -> bool:
    """Whether a dotted name is a module, something defined in one, or a member of a class defined in one."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        if path := FILES.get(".".join(parts[:n])):
            return n == len(parts) or is_defined(tree_of(path).body, parts[n:])
    return False


def is_defined(body: list[ast.stmt], parts: list[str]) -> bool:
    for node in body:
        match node:
            case ast.ClassDef(name=name) if name == parts[0]:
                return len(parts) == 1 or is_defined(node.body, parts[1:])
            case ast.FunctionDef(name=name) if name == parts[0]:
                return len(parts) == 1
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(
                    isinstance(leaf, ast.Name) and leaf.id == parts[0] for root in targets for leaf in ast.walk(root)
                ):
                    return len(parts) == 1
    return False


def test_nearly_every_module_has_a_test_file_of_its_name() -> None:
    large = [path for path in SOURCES if path.name != "__init__.py" and len(path.read_text().splitlines()) > 40]
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")}
    missing = [MODULES[path] for path in large if path.stem not in tested]
    assert len(missing) <= len(large) // 10, missing


def test_only_seams_say_what_they_are_not_responsible_for() -> None:
    assert sum("Not responsible for" in path.read_text() for path in SOURCES) <= 40


def test_no_name_is_handed_on_by_another_module() -> None:
    assert [MODULES[path] for path in SOURCES if re.search(r"^__all__", path.read_text(), flags=re.MULTILINE)] == []


def test_few_places_ask_which_task_it_is() -> None:
    exempt = ("data", "readers", "tasks.py", "target_kinds.py")
    pattern = r"\bTask\.[A-Z]|\.is_single_class|\.is_multi_label|\.has_classes"
    outside = [path for path in SOURCES if path.relative_to(ROOT).parts[1] not in exempt]
    lines = {path: [line for line in path.read_text().splitlines() if re.search(pattern, line)] for path in outside}
    counts = {MODULES[path]: len(found) for path, found in lines.items() if found}
    assert sum(counts.values()) <= TASK_BRANCHES, counts
    assert len(counts) <= FILES_WITH_TASK_BRANCHES, counts
