"""List the faults of the process, the disk, the clock and the operator."""

from __future__ import annotations

from support.faults.rows import Row

ROWS = (
    Row(
        "the process is killed (kill -9), at any moment and many times",
        "each resume goes on where the log is: I1 to I16 hold in the end",
        (
            "e2e/crash/test_crash_loop.py::test_the_promise_holds_under_faults_and_kills",
            "e2e/cli/test_end_to_end.py::test_a_run_that_is_killed_mails_nobody_twice",
            "unit/sendlog/test_recovery.py::test_a_crash_leaves_the_state_of_the_table",
        ),
    ),
    Row(
        "the process is killed right before or after a durable write",
        "the row is found in the state that is due, and the restart does what belongs to that state",
        (
            "e2e/crash/test_durable_steps.py::test_a_kill_at_each_durable_step",
            "e2e/crash/test_durable_steps.py::test_every_durable_step_is_tried",
            "e2e/crash/test_durable_writes.py::test_what_must_be_durable_is_flushed_before_it_matters",
            "e2e/faults/test_token_server.py::test_a_row_is_in_issuing_only_while_its_call_is_out",
        ),
    ),
    Row(
        "SIGINT or SIGTERM, once or twice",
        "the first lets what is in hand come to its end, the second stops at once; exit 130",
        (
            "e2e/cli/test_stopping.py::test_one_signal_finishes_what_is_in_hand",
            "e2e/cli/test_stopping.py::test_two_signals_stop_at_once",
            "e2e/cli/test_stopping.py::test_a_signal_before_anything_began_leaves_everybody_queued",
        ),
    ),
    Row(
        "the process is stopped for longer than it waits for replies, and goes on",
        "who was at the dot is uncertain, the rest goes out at its rate, in no burst",
        (
            "e2e/faults/test_process.py::test_a_process_that_was_stopped_does_not_burst",
            "e2e/crash/test_crash_loop.py::test_the_promise_holds_under_faults_and_kills",
            "unit/delivery/test_rate_limiter.py::test_a_process_stopped_amid_a_wait_does_not_burst",
        ),
    ),
    Row(
        "the disk is full, the log may grow no further, a write or a flush fails",
        "sending stops at once with a sentence and exit 1; nothing leaves that is not on record; with space it goes on",
        (
            "e2e/faults/test_disk.py::test_a_full_disk",
            "e2e/faults/test_disk.py::test_a_file_size_limit",
            "e2e/faults/test_disk.py::test_system_calls_that_fail",
            "unit/sendlog/test_group_commit.py::test_a_full_disk_stops_the_run",
            "unit/sendlog/test_group_commit.py::test_a_full_disk_keeps_a_csv_out_whole",
            "unit/recipients/test_grouping.py::test_a_full_disk_is_a_sentence",
        ),
    ),
    Row(
        "the log is locked, read-only, damaged, of a newer version, or no log at all",
        "it is refused with a sentence and left to the byte as it is; nobody is asked and nobody mailed",
        (
            "e2e/faults/test_disk.py::test_a_log_that_may_only_be_read",
            "e2e/cli/test_settings.py::test_a_log_that_is_locked_is_refused_in_time",
            "e2e/cli/test_settings.py::test_a_file_that_is_no_send_log_is_left_as_it_is",
            "e2e/cli/test_settings.py::test_a_log_that_is_damaged_is_refused",
            "unit/sendlog/sqlite/test_files.py::test_what_is_no_good_log_is_refused",
            "unit/sendlog/sqlite/test_files.py::test_a_log_that_cannot_be_written_is_refused",
            "unit/sendlog/test_aggregates.py::test_a_log_that_breaks_while_it_is_read_is_told",
        ),
    ),
    Row(
        "the log can no longer be written in the midst of a run",
        "no further token is asked for and no mail begun; a token whose id could not be written is a possible orphan",
        (
            "e2e/faults/test_disk.py::test_a_file_size_limit",
            "e2e/faults/test_disk.py::test_system_calls_that_fail",
            "unit/sendlog/test_group_commit.py::test_a_failure_reaches_everybody_and_lasts",
            "integration/smtp/test_intent.py::test_a_message_whose_intent_failed_is_not_sent",
        ),
    ),
    Row(
        "a second run on the same log",
        "it exits with 75 and touches nothing; the first one does not notice",
        (
            "e2e/cli/test_settings.py::test_a_second_run_on_the_same_log_exits_75",
            "e2e/cli/test_settings.py::test_a_lock_does_not_outlive_its_run",
            "unit/sendlog/sqlite/test_files.py::test_one_log_has_one_runner",
        ),
    ),
    Row(
        "the same campaign is run from another folder, or by cron",
        "it has the same log and the same settings, and nobody is mailed twice; `--yes` never means the sandbox",
        (
            "e2e/cli/test_places.py::test_a_campaign_has_one_log_from_every_folder",
            "e2e/cli/test_places.py::test_yes_without_settings_is_refused",
            "e2e/cli/test_places.py::test_the_log_of_an_earlier_version_is_not_passed_over",
        ),
    ),
    Row(
        "the clock is set forward or back, or goes on while the machine sleeps",
        "neither a burst nor a stall, in this run or the next",
        (
            "e2e/faults/test_clock.py::test_a_clock_that_leaps_neither_stalls_nor_hurries",
            "unit/delivery/test_rate_limiter.py::test_a_paused_process_does_not_burst",
            "unit/delivery/test_rate_limiter.py::test_turns_of_a_clock_that_was_ahead_do_not_stall",
            "unit/sendlog/test_recovery.py::test_a_row_put_off_by_a_clock_that_was_ahead_waits_an_hour_at_most",
        ),
    ),
    Row(
        "hardly a file descriptor is left",
        "the run has fewer connections or ends with a sentence, and goes on when there are more",
        (
            "e2e/faults/test_process.py::test_too_few_descriptors",
            "integration/smtp/test_network.py::test_too_few_file_descriptors",
        ),
    ),
    Row(
        "the DNS is silent, fails or refuses while `check --online` asks it",
        "a sentence says what is not checked; it never counts as passed, and what needs no DNS is checked all the same",
        (
            "e2e/cli/test_online_check.py::test_a_broken_dns_is_said_and_nothing_passes_for_it",
            "integration/compliance/test_lookup.py::test_a_dns_that_gives_no_answer",
        ),
    ),
)
