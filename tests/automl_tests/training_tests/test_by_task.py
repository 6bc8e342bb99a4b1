"""Which losses a task can be trained with, and how the others are refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from automl.config import FOCAL_LOSSES, LOSSES, LossConfig
from automl.errors import UsageError
from automl.tasks import Task
from automl.training.loss.by_task import OBJECTIVES, get_objective, require_losses_fit
from automl.training.loss.losses import build_loss
from automl.training.network.outputs import build_output_layer

UNFIT = {(Task.MULTILABEL, "ordinal"), (Task.MULTILABEL, "smooth_l1"), (Task.REGRESSION, "ordinal")}


def config_named(name: str) -> LossConfig:
    return LossConfig(name=name, focal_gamma=2.0 if name in FOCAL_LOSSES else None)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_either_trains_a_task_or_is_refused_by_name_before_anything_is_built(task: Task, name: str) -> None:
    if (task, name) not in UNFIT:
        require_losses_fit([name], task)
        assert build_output_layer(config_named(name), task, 2).n_classes == 2
        build_loss(config_named(name), task=task, n_classes=2)
        return
    for refuse in (
        lambda: require_losses_fit([name], task),
        lambda: build_output_layer(config_named(name), task, 2),
        lambda: build_loss(config_named(name), task=task, n_classes=2),
    ):
        with pytest.raises(UsageError) as caught:
            refuse()
        assert str(caught.value) == f"loss = '{name}' cannot be trained where the task is {task.value}"


def test_every_task_knows_only_names_of_the_vocabulary() -> None:
    assert set(OBJECTIVES) == set(Task)
    assert all(set(names) <= set(LOSSES) for names in OBJECTIVES.values())


def test_a_space_with_an_unfit_loss_is_told_which_of_its_losses_to_keep() -> None:
    with pytest.raises(UsageError) as caught:
        require_losses_fit(["smooth_l1", "ordinal", "cross_entropy", "focal"], Task.REGRESSION)
    assert caught.value.hint.startswith("leave it out with --choices loss=smooth_l1,cross_entropy,focal,")
    with pytest.raises(UsageError) as caught:
        require_losses_fit(["ordinal"], Task.MULTILABEL)
    assert "--choices loss=cross_entropy,focal,bce,focal_bce" in caught.value.hint


def test_labels_and_values_have_no_softmax() -> None:
    assert get_objective("cross_entropy", Task.MULTILABEL) == get_objective("bce", Task.MULTILABEL) == "binary"
    assert get_objective("focal", Task.REGRESSION) == "quality_focal"
    assert get_objective("cross_entropy", Task.MULTICLASS) == "cross_entropy"


def test_a_search_can_ask_without_torch() -> None:
    code = "import sys, automl.training.loss.by_task; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
