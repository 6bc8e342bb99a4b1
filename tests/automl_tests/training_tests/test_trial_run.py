"""One run of a trial: its lock, its configuration on disk, its refusals and dead ends."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from automl.artifacts import read_json, write_json
from automl.config import ModelConfig, OptimConfig, TrialConfig
from automl.errors import StorageError
from automl.training import trial_run
from automl.training.entry_points import run_trial
from tests.automl_tests.training_tests.trial_builders import (
    PlainNet,
    ScriptedContext,
    config_of,
    contents,
    payload_of,
    write_study,
)

TOO_DEEP = replace(config_of(), model=ModelConfig(backbone="lenet5", pretrained=False, pooling="avg", cut=4))


def test_a_loss_that_is_no_number_ends_the_trial_at_that_step(tmp_path: Path) -> None:
    study, context = write_study(tmp_path), ScriptedContext()
    wild = OptimConfig(optimizer="sgd", lr=1e30, clip_norm=None, schedule="constant", warmup_fraction=0.0)
    answer = run_trial(payload_of(study, config_of(optim=wild)), context)
    assert answer["outcome"] == "dead_end"
    assert answer["constraint"] == "diverged"
    assert answer["reason"] in {f"loss became {value} in epoch 1, step 2, lr 1e30" for value in ("nan", "inf")}
    assert context.reports == []
    assert not study.get_trial_files(0).get_weights_path(0).exists()


def test_a_network_that_does_not_fit_into_memory_is_a_dead_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write_study(tmp_path)
    monkeypatch.setattr("automl.training.fold.build_model", lambda model, **rest: PlainNet(capacity=1))
    answer = run_trial(payload_of(study, config_of()), ScriptedContext())
    assert (answer["outcome"], answer["constraint"]) == ("dead_end", "memory")
    assert answer["reason"] == "2 images of 32 pixels do not fit into memory of cpu"
    assert answer["attributes"]["micro_batch"] == 2


def test_the_micro_batch_that_fits_is_in_the_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write_study(tmp_path)
    monkeypatch.setattr("automl.training.fold.build_model", lambda model, **rest: PlainNet(capacity=5))
    answer = run_trial(payload_of(study, config_of()), ScriptedContext())
    assert answer["outcome"] == "completed"
    assert answer["attributes"]["micro_batch"] == 4


@pytest.mark.parametrize(
    ("config", "exit_code", "problem"),
    [
        (config_of(backbone="resnet81"), 2, "timm has no backbone 'resnet81'"),
        (TOO_DEEP, 2, "cut = 4, but 'lenet5' has 2 stages"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused_in_words(
    config: TrialConfig, exit_code: int, problem: str, tmp_path: Path
) -> None:
    answer = run_trial(payload_of(write_study(tmp_path), config), ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", exit_code)
    assert answer["problem"].startswith(problem)
    assert answer["hint"]


def test_a_machine_that_cannot_compile_is_advised_to_leave_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: torch.nn.Module) -> None:
        model.forward = _uncompiled  # type: ignore[assignment, method-assign]

    monkeypatch.setattr(torch.nn.Module, "compile", fail)
    answer = run_trial(payload_of(write_study(tmp_path), config_of(compile=True)), ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", 7)
    assert answer["problem"].startswith("the network cannot be compiled here: ")
    assert answer["hint"] == "leave out --compile"


def _uncompiled(images: torch.Tensor) -> torch.Tensor:
    from torch._dynamo.exc import TorchDynamoException

    raise TorchDynamoException("no compiler")


@pytest.mark.slow
def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/nowhere/c++",))
    monkeypatch.setattr("torch.compiler.config.force_disable_caches", True)  # nothing that another test compiled
    torch._dynamo.reset()
    answer = run_trial(payload_of(write_study(tmp_path), config_of(compile=True)), ScriptedContext())
    assert (answer["outcome"], answer["exit_code"], answer["hint"]) == ("refused", 7, "leave out --compile")


def test_a_folder_of_another_configuration_is_refused_and_left_alone(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    run_trial(payload_of(study, config_of(epochs=1)), ScriptedContext())
    before = contents(study.get_trial_files(0))
    answer = run_trial(payload_of(study, config_of(epochs=2)), ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", 5)
    assert contents(study.get_trial_files(0)) == before


def test_a_configuration_of_an_older_version_that_says_the_same_is_that_of_the_trial(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    files, document = study.get_trial_files(0), config_of(epochs=1).to_json()
    for name in ("interpolation", "crop_pct"):
        del document["resize"][name]
    write_json(files.config, document)
    before = files.config.read_bytes()
    assert run_trial(payload_of(study, config_of(epochs=1)), ScriptedContext())["outcome"] == "completed"
    assert files.config.read_bytes() == before


def test_a_configuration_of_an_older_version_is_the_same_where_it_lacks_what_is_at_its_default(tmp_path: Path) -> None:
    study, config = write_study(tmp_path), config_of(epochs=1)
    path = study.get_trial_files(0).config
    document = config.to_json()
    for name in ("head_init", "head_lr_factor", "freeze_norms"):
        del document["transfer"][name]
    write_json(path, document)
    assert run_trial(payload_of(study, config), ScriptedContext())["outcome"] == "completed"
    assert read_json(path) == document


def test_a_trial_that_another_process_works_on_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_run, "LOCK_TIMEOUT_S", 0.1)
    study, context = write_study(tmp_path), ScriptedContext()
    files = study.get_trial_files(0)
    files.root.mkdir(parents=True)
    with files.lock.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="another process works on"):
            run_trial(payload_of(study, config_of()), context)
    assert not files.config.exists()
    assert context.reports == []
