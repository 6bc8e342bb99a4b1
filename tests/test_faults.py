"""The fault matrix: for each fault that a search can meet, the test that proves what becomes of it, or why none does.

C: configuration and command line. T: training. P: processes and signals. S: storage. E: engine and cluster.
X: security. Faults of data and of submissions are tested beside the readers and writers of both.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
IN_SOAK = "test_a_search_whose_processes_are_killed_at_random_comes_out_as_if_left_in_peace"
NOT_HERE = "not here: "

FAULTS: dict[str, tuple[str, ...]] = {
    # a flag out of its range
    "C01": ("test_flags_that_do_not_fit_are_refused_before_anything_is_written",),
    # a setting of another type in a YAML file
    "C02": (NOT_HERE + "no YAML is read; a search space is Python, and its values are checked by TrialConfig",),
    # code in a YAML file
    "C03": ("test_no_source_unpickles_evaluates_or_starts_a_shell",),
    # an impossible range, an unknown model
    "C04": (
        "test_a_narrowing_that_does_not_fit_is_refused_at_once",
        "test_an_unknown_backbone_and_missing_weights_stop_the_search_with_the_way_out",
    ),
    # a combination that cannot be built
    "C05": (
        "test_a_configuration_that_cannot_be_built_is_refused_in_words",
        "test_a_configuration_that_cannot_be_built_fails_and_stops_the_search",
    ),
    # going on with other terms
    "C06": ("test_a_study_refuses_other_terms_and_keeps_its_own",),
    # going on with fewer or more trials
    "C07": ("test_a_second_loop_counts_what_the_first_one_ended",),
    # more GPUs than there are
    "C08": ("test_flags_that_do_not_fit_are_refused_before_anything_is_written",),
    # a place that cannot be written
    "C09": ("test_a_place_that_cannot_hold_a_study_is_a_storage_error",),
    # too little room to begin with
    "C10": ("test_a_disk_without_room_is_told_before_an_image_is_decoded",),
    # a study of another version
    "C11": ("test_a_study_of_another_version_of_optuna_is_refused_and_left_alone",),
    # a loss that is no number
    "T01": (
        "test_a_loss_that_is_no_number_ends_the_trial_at_that_step",
        "test_a_dead_end_is_pruned_with_a_violated_constraint_that_names_it",
    ),
    # weights that are no numbers although the loss is one
    "T02": (
        "test_a_statistic_that_is_no_number_ends_the_trial_before_a_checkpoint",
        "test_probabilities_that_are_no_numbers_end_the_trial",
    ),
    # a score that is no number
    "T03": (
        "test_a_score_that_is_not_finite_never_becomes_complete",
        "test_what_is_not_finite_or_of_another_length_is_no_score",
    ),
    # out of the GPU's memory
    "T04": (
        "test_out_of_memory_halves_the_micro_batch_and_the_gradient_stays_the_same",
        "test_two_images_that_do_not_fit_are_a_dead_end",
        "test_a_network_that_does_not_fit_into_memory_is_a_dead_end",
    ),
    # out of the machine's memory
    "T05": ("test_a_trial_that_kills_its_worker_or_hangs_is_tried_twice_and_fails_with_its_reason",),
    # a loader process dies
    "T06": ("test_images_are_loaded_by_no_process_of_their_own",),
    # a loader hangs
    "T07": (
        "test_images_are_loaded_by_no_process_of_their_own",
        "test_a_trial_that_kills_its_worker_or_hangs_is_tried_twice_and_fails_with_its_reason",
        "test_a_beating_worker_is_not_silent",
    ),
    # a last batch of one image
    "T08": ("test_batch_norm_is_never_given_one_image_by_itself",),
    # the shared memory of loaders is full
    "T09": ("test_images_are_loaded_by_no_process_of_their_own",),
    # a fold that lacks a class
    "T10": ("test_an_auc_leaves_out_what_has_no_curve",),
    # an augmentation that raises; it works on pixels that were decoded before, so there is no file to name
    "T11": ("test_a_consumer_may_stop_early_and_an_error_reaches_it",),
    # an image of an odd shape
    "T12": ("test_an_image_of_any_shape_becomes_one_that_a_network_takes",),
    # SIGTERM in the middle of an epoch
    "T13": (
        "test_a_worker_terminated_from_outside_is_no_stopped_job",
        "test_a_signalled_search_ends_soon_says_how_to_go_on_and_goes_on",
        "test_a_stopped_trial_goes_on_bit_for_bit_as_if_it_had_never_stopped",
    ),
    # a trial that kills its process
    "T14": (
        "test_a_trial_that_kills_its_worker_or_hangs_is_tried_twice_and_fails_with_its_reason",
        "test_the_other_trials_of_a_study_with_bad_ones_end_as_they_would_without",
        "test_deaths_count_only_without_a_new_epoch_in_between",
    ),
    # a trial is pruned
    "T15": (
        "test_the_worst_of_five_is_stopped_at_a_checkpoint_step_and_is_pruned_with_its_values",
        "test_only_the_best_trials_keep_weights_and_no_ended_one_its_training_state",
    ),
    # a CUDA context that is broken for good
    "T16": ("test_each_job_has_a_fresh_process_and_session",),
    # the driver is killed
    "P01": (
        IN_SOAK,
        "test_the_same_command_goes_on_after_kill_9_and_ends_with_a_submission",
        "test_the_workers_of_a_killed_search_are_gone",
    ),
    # the driver is killed at any call that stores something
    "P02": (
        "test_a_driver_killed_at_any_call_that_stores_something_goes_on_as_if_nothing_had_been",
        "test_a_driver_killed_at_its_start_leaves_a_study_that_goes_on",
    ),
    # a worker is killed
    "P03": (IN_SOAK,),
    # Ctrl-C, once, twice, before the first trial, while the ensemble is made
    "P04": (
        "test_a_signalled_search_ends_soon_says_how_to_go_on_and_goes_on",
        "test_a_second_ctrl_c_does_not_wait_for_frozen_trials",
        "test_ctrl_c_before_the_first_trial_ends_the_search_at_once",
        "test_ctrl_c_while_the_ensemble_is_made_leaves_the_submission_as_it_was",
    ),
    # SIGTERM, and SIGHUP of a lost connection
    "P05": ("test_a_signalled_search_ends_soon_says_how_to_go_on_and_goes_on",),
    # a worker that is frozen
    "P06": ("test_jobs_that_heed_nothing_are_killed_after_the_grace",),
    # Ctrl-C goes to the workers as well
    "P07": (
        "test_a_worker_ignores_ctrl_c",
        "test_a_signalled_search_ends_soon_says_how_to_go_on_and_goes_on",
    ),
    # nobody takes the output
    "P08": (
        "test_a_search_whose_reader_has_gone_goes_on",
        "test_lines_that_a_full_disk_does_not_take_stop_nothing",
    ),
    # a process number is used again, the clock jumps
    "P09": (
        "test_a_lock_file_that_names_a_living_process_is_no_lock",
        "test_no_clock_that_can_be_set_decides_anything",
    ),
    # memory and descriptors leak
    "P10": (
        "test_a_driver_of_many_trials_keeps_its_memory_and_descriptors",
        "test_descriptors_do_not_leak",
    ),
    # the machine is started again; what a loss of power takes beyond that cannot be staged without one
    "P11": (IN_SOAK, "test_a_new_search_removes_the_leftovers_of_the_one_before"),
    # a full disk
    "S01": (
        "test_a_full_disk_ends_the_search_with_5_and_it_goes_on_when_there_is_room",
        "test_a_disk_that_refuses_a_write_ends_the_search_with_5_and_nothing_is_lost",
        "test_a_full_disk_is_a_storage_error_and_the_old_file_is_intact",
    ),
    # a disk that fails
    "S02": ("test_a_disk_that_refuses_a_write_ends_the_search_with_5_and_nothing_is_lost",),
    # a checkpoint that is cut, flipped, empty or foreign
    "S03": (
        "test_a_damaged_checkpoint_is_passed_over_for_the_one_before",
        "test_a_kill_between_the_two_renames_leaves_the_checkpoint_before",
        "test_a_damaged_checkpoint_costs_one_epoch_and_changes_nothing",
    ),
    # the files of a complete trial are gone
    "S04": (
        "test_a_search_goes_on_without_the_files_of_its_best_trial_and_submits_without_it",
        "test_an_ensemble_is_made_without_a_trial_whose_folder_is_gone",
        "test_a_damaged_trial_is_left_out_with_a_note",
    ),
    # temporary files of killed processes
    "S05": (
        "test_leftovers_of_killed_processes_are_removed_and_those_of_living_ones_are_not",
        "test_a_new_search_removes_the_leftovers_of_the_one_before",
    ),
    # somebody else looks at the study's file, or locks it
    "S06": (
        "test_a_reader_that_locks_the_file_for_a_moment_only_delays_the_driver",
        "test_a_file_that_stays_locked_ends_the_search_with_the_cause",
        "test_a_dashboard_that_asks_all_the_time_never_makes_the_search_fail",
    ),
    # the study's file is damaged, empty, foreign or missing
    "S07": (
        "test_a_damaged_file_is_named_and_not_replaced",
        "test_a_file_that_is_no_database_is_never_silently_a_new_study",
        "test_a_missing_file_beside_trials_is_never_silently_a_new_study",
        "test_a_commit_that_a_kill_cut_in_half_is_undone_by_whoever_looks_next",
    ),
    # a copied study
    "S08": ("test_a_copy_of_a_study_at_rest_is_whole",),
    # the folder is moved or removed
    "S09": (
        "test_a_folder_that_is_removed_while_it_is_searched_in_ends_the_search_with_5",
        "test_a_study_can_be_moved",
    ),
    # two searches in one folder
    "S10": ("test_a_second_search_is_refused_with_6_while_the_first_one_lives_and_not_longer",),
    # a read-only disk
    "S11": ("test_a_read_only_disk_can_be_read_and_ends_a_search_with_5",),
    # deleting what is not kept is cut short
    "S12": ("test_only_the_best_trials_keep_weights_and_no_ended_one_its_training_state",),
    # a second driver
    "E01": ("test_a_second_search_is_refused_with_6_while_the_first_one_lives_and_not_longer",),
    # two drivers at the same moment
    "E02": ("test_of_two_drivers_at_the_same_moment_exactly_one_works",),
    # a worker that outlives its driver
    "E03": (
        "test_a_trial_waits_for_an_orphan_that_still_holds_its_lock",
        "test_a_trial_that_another_process_works_on_is_not_begun",
    ),
    # killed while it asked
    "E04": (
        "test_a_trial_cut_short_between_suggestions_is_completed_with_the_same_values",
        "test_a_driver_killed_at_any_call_that_stores_something_goes_on_as_if_nothing_had_been",
    ),
    # killed between a trial's end and its being told
    "E05": (
        "test_a_trial_that_ended_unrecorded_is_recorded_and_not_trained_again",
        "test_a_trial_whose_driver_died_before_recording_that_it_is_pruned_is_recorded_so_and_not_run",
    ),
    # killed between the telling and the tidying
    "E06": ("test_only_the_best_trials_keep_weights_and_no_ended_one_its_training_state",),
    # a result that comes too late
    "E07": ("test_each_job_ends_exactly_once_and_hears_nothing_afterwards",),
    # a process of Ray is killed
    "E08": (
        "test_a_killed_process_has_died_and_what_it_printed_is_told",
        "test_a_killed_actor_takes_its_job_along_and_the_job_may_be_given_again",
        "test_a_killed_driver_leaves_no_job_and_no_actor",
    ),
    # more slots than GPUs, a GPU that is lost: its trials fail until five in a row end the search
    "E09": (
        "test_flags_that_do_not_fit_are_refused_before_anything_is_written",
        "test_five_failures_in_a_row_end_the_search_with_4_and_the_cause",
    ),
    # a bug in sampler or pruner
    "E10": (
        "test_a_bug_in_the_pruner_ends_the_search_and_the_study_goes_on_without_it",
        "test_a_bug_in_the_sampler_ends_the_search_and_the_study_goes_on_without_it",
    ),
    # every trial fails
    "E11": ("test_five_failures_in_a_row_end_the_search_with_4_and_the_cause",),
    # ten thousand trials
    "E12": ("test_a_study_of_ten_thousand_trials_is_opened_and_suggests_as_quickly_as_a_person_waits",),
    # code in weights or checkpoints
    "X01": (
        "test_a_pickle_is_refused_without_being_opened",
        "test_a_pickle_by_the_name_of_safetensors_is_refused_without_running",
        "test_an_array_file_with_a_pickle_inside_is_refused_and_not_executed",
    ),
    # calls that run what they read
    "X02": ("test_no_source_unpickles_evaluates_or_starts_a_shell",),
    # weights from the hub without a fixed revision
    "X03": (NOT_HERE + "timm's own models of the hub are loaded as timm does; only safetensors, never remote code",),
    # names that leave their folder
    "X04": (
        "test_a_study_whose_name_leaves_its_folder_is_refused_and_nothing_is_written",
        "test_no_id_ever_opens_a_file_outside_the_folder",
        "test_a_study_is_not_named_so_that_it_leaves_its_folder",
    ),
    # markup in names
    "X05": ("test_markup_in_names_and_values_makes_no_element_of_the_report",),
    # formulas in cells: the submission's ids must stay as they are, and no other table holds text of the user's
    "X06": ("test_ids_are_copied_in_their_order_and_form",),
    # terminal codes in names and logs
    "X07": (
        "test_terminal_codes_in_file_names_reach_no_terminal",
        "test_terminal_codes_in_class_names_reach_no_terminal",
        "test_terminal_codes_that_a_failed_trial_printed_reach_no_terminal",
    ),
    # a dashboard that the network sees
    "X08": (
        "test_the_dashboard_listens_to_this_machine_alone",
        "test_the_dashboard_shows_the_study_to_this_machine_and_lets_nobody_change_it",
    ),
    # ports that Ray opens
    "X09": (
        NOT_HERE + "Ray opens its own ports; all that we give it, in runners/ray_tune.py, is local and no dashboard",
    ),
    # secrets in files and lines
    "X10": ("test_secrets_of_the_environment_are_in_no_file_and_no_line",),
    # archives whose members leave their folder
    "X11": ("test_no_source_unpacks_an_archive",),
    # links planted where a file will be written
    "X12": (
        "test_a_temporary_file_that_somebody_planted_is_neither_followed_nor_overwritten",
        "test_a_temporary_file_that_was_planted_is_not_followed",
    ),
}
N_ROWS = {"C": 11, "T": 16, "P": 11, "S": 12, "E": 12, "X": 12}


def test_every_fault_has_its_row() -> None:
    assert list(FAULTS) == [f"{group}{n + 1:02d}" for group, n_rows in N_ROWS.items() for n in range(n_rows)]


@pytest.mark.parametrize("fault", FAULTS)
def test_every_row_names_tests_that_exist_or_says_why_there_is_none(fault: str) -> None:
    proofs = FAULTS[fault]
    assert proofs
    for proof in proofs:
        if proof.startswith(NOT_HERE):
            assert len(proofs) == 1 and len(proof) > len(NOT_HERE) + 20
        else:
            assert proof in names_of_tests()


@functools.cache
def names_of_tests() -> frozenset[str]:
    """The names of all tests, wherever they stand."""
    return frozenset(name for path in TESTS.rglob("test_*.py") for name in functions_in(path))


def functions_in(path: Path) -> set[str]:
    """The names of all functions and methods in a file."""
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
