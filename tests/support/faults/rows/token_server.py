"""List the faults of Clerk and of the connection to it."""

from __future__ import annotations

from support.faults.rows import Row

_DEADLINES = "Clerk's deadlines are tens of seconds and not settings, so a silence is played against the client alone"

ROWS = (
    Row(
        "429 for everything; `Retry-After` in seconds, as a date, in the past, missing or huge",
        "one hold for all, an hour at most, in which nobody calls; then all go on",
        (
            "e2e/faults/test_token_server.py::test_one_hold_for_all",
            "e2e/faults/test_token_server.py::test_a_hold_without_a_time",
            "e2e/faults/test_token_server.py::test_a_wait_of_nothing_is_no_invitation",
            "e2e/faults/test_token_server.py::test_a_huge_hold_is_capped_and_can_be_left",
            "integration/clerk/test_client.py::test_forms_of_retry_after",
            "e2e/cli/test_limits.py::test_clerks_limit_is_kept_and_never_met",
        ),
    ),
    Row(
        "5xx with a page, an answer that is empty, cut short, endless or lacks the token or its id",
        "Clerk is paused and tried by one call at a time; no row is charged unless it alone fails again and again",
        (
            "e2e/faults/test_token_server.py::test_an_outage_costs_no_row_an_attempt",
            "e2e/faults/test_token_server.py::test_an_outage_says_how_long_to_wait",
            "e2e/faults/test_token_server.py::test_an_answer_that_is_lost_leaves_a_possible_orphan",
            "e2e/faults/test_token_server.py::test_a_failed_list_of_users_blames_nobody",
            "e2e/faults/test_token_server.py::test_a_run_says_what_it_waits_for",
            "e2e/faults/test_token_server.py::test_a_run_that_is_not_to_wait_ends",
            "integration/clerk/test_client.py::test_what_may_work_later",
            "integration/clerk/test_answers.py::test_an_answer_that_swells_is_cut_off",
        ),
    ),
    Row(
        "a token for another user",
        "the run stops with exit 3; the token is revoked and never sent",
        (
            "e2e/faults/test_token_server.py::test_a_token_for_another_user_stops_the_run",
            "integration/clerk/test_client.py::test_a_token_for_another_user_is_told_as_such",
        ),
    ),
    Row(
        "a time-out or a reset after the token was made",
        "a possible orphan is counted and told; tries are bounded",
        (
            "e2e/faults/test_token_server.py::test_an_answer_that_is_lost_leaves_a_possible_orphan",
            "integration/clerk/test_client.py::test_what_may_work_later",
            "integration/clerk/test_answers.py::test_an_answer_that_trickles_in_is_given_up",
            "unit/sendlog/test_recovery.py::test_a_token_that_nobody_can_name_is_counted",
        ),
        _DEADLINES,
    ),
    Row(
        "401 or 403, at the start or in the midst of a run",
        "exit 3; nobody is failed",
        (
            "e2e/faults/test_token_server.py::test_a_key_refused",
            "e2e/cli/test_settings.py::test_a_service_that_refuses_us_is_exit_3",
        ),
    ),
    Row(
        "402, 410, or 422 for the lifetime; the same refusal for every user; a 403 page of something in front of Clerk",
        "exit 3 with what to do, and nobody is failed; a page is waited for as an outage is",
        (
            "e2e/faults/test_token_server.py::test_a_refusal_for_every_user_fails_nobody",
            "e2e/faults/test_token_server.py::test_a_failed_list_of_users_blames_nobody",
            "integration/clerk/test_client.py::test_what_is_the_same_for_every_user",
        ),
    ),
    Row(
        "403, 404 or 422 for a user",
        "that row is skipped or failed with Clerk's words, and the others go on",
        (
            "e2e/faults/test_token_server.py::test_a_user_whom_clerk_will_not_serve",
            "integration/clerk/test_client.py::test_what_will_never_work",
        ),
    ),
    Row(
        "a revocation is answered with 400, 404, 429 or 500, or not at all, or the run dies before it is noted",
        "it is kept until it is settled, if need be by the next run; a link that was used is an alarm",
        (
            "e2e/faults/test_revocations.py::test_a_revocation_is_kept_until_it_is_settled",
            "e2e/faults/test_revocations.py::test_a_revocation_outlives_its_run",
            "e2e/faults/test_revocations.py::test_a_run_that_is_killed_amid_a_revocation_raises_no_alarm",
            "integration/clerk/test_users.py::test_a_revocation_that_is_not_settled",
            "integration/delivery/test_revoker.py::test_a_lasting_silence_is_waited_for_longer_each_time",
        ),
        _DEADLINES,
    ),
    Row(
        "a token has grown old before its mail leaves",
        "it is revoked, and the mail carries a new one",
        ("e2e/faults/test_clock.py::test_a_token_that_grew_old_in_hand_is_not_sent",),
    ),
    Row(
        "a redirect to another host, proxies in the environment, plain http",
        "the key is told to nobody else: exit 3 for a redirect, exit 2 for plain http, proxies are not asked",
        (
            "e2e/faults/test_token_server.py::test_a_key_refused",
            "e2e/faults/test_token_server.py::test_a_proxy_of_the_environment_sees_no_key",
            "integration/clerk/test_client.py::test_the_key_does_not_follow_a_redirect",
            "integration/clerk/test_client.py::test_a_certificate_that_cannot_be_trusted",
            "e2e/cli/test_settings.py::test_settings_that_do_not_fit_are_refused",
        ),
    ),
)
