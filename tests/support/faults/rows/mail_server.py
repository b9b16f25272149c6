"""List the faults of the mail server and of the connection to it."""

from __future__ import annotations

from support.faults.rows import Row

_DEADLINES = (
    "the deadlines of the greeting and of commands are minutes and not settings (RFC 5321 §4.5.3.2), so a silence "
    "is played against the connection, with deadlines of the tests"
)

ROWS = (
    Row(
        "the connection ends, is reset or falls silent after the final dot",
        "that row is uncertain, its token is kept, and another connection goes on",
        (
            "e2e/faults/test_wire.py::test_what_follows_the_final_dot",
            "integration/smtp/test_connection.py::test_answers_to_the_final_dot",
            "integration/smtp/test_connection_life.py::test_an_answer_that_comes_too_late_is_nobodys",
        ),
    ),
    Row(
        "the reply to the dot is malformed, endless, late or 3xx, or an unusual 2xx",
        "any 2xx is `sent`, everything that is no reply leaves the row uncertain",
        (
            "e2e/faults/test_wire.py::test_what_follows_the_final_dot",
            "integration/smtp/test_connection.py::test_answers_to_the_final_dot",
            "unit/smtp/test_replies.py::test_any_bytes_are_replies_or_an_error",
        ),
    ),
    Row(
        "the connection is lost before 354 or during the message",
        "the row goes back to the queue and is tried again; in the end there is one copy",
        (
            "e2e/faults/test_mail_server.py::test_a_connection_lost_before_the_dot_is_a_plain_retry",
            "integration/smtp/test_connection.py::test_answers_before_the_message",
            "integration/smtp/test_connection_life.py::test_a_connection_that_ends_amid_the_message_gets_no_dot",
            "integration/smtp/test_connection_life.py::test_what_came_amid_the_message_is_heard_before_the_dot",
            "integration/smtp/test_intent.py::test_a_connection_lost_amid_the_message_is_a_plain_retry",
            "integration/smtp/test_intent.py::test_an_end_that_a_busy_loop_has_not_read_yet_is_seen",
            "integration/smtp/test_intent.py::test_faults_leave_no_more_intents_without_an_outcome",
        ),
    ),
    Row(
        "421 at any command, after every few mails or while idle; a line that nobody asked for",
        "another connection is opened, no reply is taken for another's, and no recipient is to blame",
        (
            "e2e/faults/test_wire.py::test_a_goodbye_at_every_command",
            "e2e/faults/test_wire.py::test_a_connection_that_lies_idle",
            "e2e/faults/test_wire.py::test_a_line_that_nobody_asked_for",
            "e2e/faults/test_mail_server.py::test_temporary_trouble_passes",
            "integration/smtp/test_connection.py::test_a_line_that_nobody_asked_for_shifts_no_reply",
            "integration/smtp/test_connection_life.py::test_the_end_of_an_idle_connection_is_seen",
            "integration/smtp/test_pool.py::test_what_happens_while_idle_harms_nobody",
        ),
    ),
    Row(
        "the server's own limits: messages of a session (421), submissions at once (432), speed (454)",
        "the message goes on with its token on another connection, on fewer, or a little slower; one attempt",
        (
            "e2e/faults/test_mail_server.py::test_a_servers_own_limits_cost_no_token",
            "integration/smtp/test_pool.py::test_each_message_has_its_own_fate",
            "integration/smtp/test_pool.py::test_fewer_connections_where_the_server_counts_submissions",
            "integration/smtp/test_pool.py::test_a_limit_that_never_ends_ends_the_message",
            "unit/delivery/test_rate_limiter.py::test_a_rate_that_was_too_fast_is_lowered_and_recovers",
            "unit/smtp/test_reply_codes.py::test_the_limits_of_a_server_are_told_apart",
        ),
    ),
    Row(
        "the name at EHLO is refused, at once or only at RCPT",
        "exit 3 with the setting that helps",
        (
            "e2e/faults/test_mail_server.py::test_a_refused_name_stops_the_run",
            "integration/smtp/test_connector.py::test_a_refused_name_is_told",
            "unit/smtp/test_reply_codes.py::test_a_refusal_says_what_to_look_at",
        ),
    ),
    Row(
        "a greeting that drips or never ends, or steps that are each just in time",
        "one deadline from dialing to the login, and a sentence that names the step",
        (
            "integration/smtp/test_connector.py::test_a_greeting_that_drips_ends_in_time",
            "integration/smtp/test_connector.py::test_a_greeting_without_an_end_is_cut",
            "integration/smtp/test_connector.py::test_one_deadline_covers_all_steps",
        ),
        _DEADLINES,
    ),
    Row(
        "an address of the host does not answer (a broken IPv6 route)",
        "the addresses race, and the next one is used",
        (
            "integration/smtp/test_network.py::test_an_address_that_does_not_answer_costs_little",
            "integration/clerk/test_connection.py::test_an_address_that_does_not_answer_costs_little",
        ),
        "a host's addresses are the resolver's, and the loopback has one host; the tests name them to the connector",
    ),
    Row(
        "an access token expires or is refused",
        "the command prints another one; no message fails for it",
        (
            "integration/smtp/test_access_token.py::test_a_refused_token_is_renewed_once",
            "integration/smtp/test_access_token.py::test_a_token_that_expires_mid_run_costs_nothing",
        ),
        "the login over TLS and the run around it are the same as with a password",
    ),
    Row(
        "4xx at MAIL, RCPT, DATA or the dot; greylisting",
        "the row waits by the policy, longer each time, and is sent later",
        (
            "e2e/faults/test_mail_server.py::test_temporary_trouble_passes",
            "unit/delivery/test_retry.py::test_each_fault_doubles_the_wait_up_to_an_hour",
            "unit/delivery/test_scheduler_domains.py::test_a_domain_that_greylists_is_not_left_alone_for_ever",
        ),
    ),
    Row(
        "one domain defers whatever it gets",
        "that domain is left alone, longer each time, and met by two messages afterwards; the others go at once",
        (
            "e2e/faults/test_mail_server.py::test_a_storm_in_one_domain_slows_only_that_domain",
            "unit/delivery/test_scheduler_domains.py::test_a_held_domain_waits_alone",
            "unit/delivery/test_scheduler_domains.py::test_a_domain_that_goes_on_deferring_costs_few_tries",
            "unit/delivery/test_scheduler_domains.py::test_after_a_hold_few_go_and_then_more",
        ),
    ),
    Row(
        "5xx at RCPT, DATA or the dot",
        "the row is failed by the server's words and its token is revoked; the others are mailed, however many fail",
        (
            "e2e/faults/test_wire.py::test_a_refusal_for_good",
            "e2e/faults/test_policy.py::test_refusals_of_mailboxes_stop_nobody",
            "integration/smtp/test_connection.py::test_a_refusal_does_not_harm_the_next",
        ),
    ),
    Row(
        "550 5.7.x or `unusual rate` for one message after the other",
        "that domain, or the run, stops with the reason before the list is burnt; who is left stays queued",
        (
            "e2e/faults/test_policy.py::test_a_domain_that_refuses_us_gets_no_more",
            "e2e/faults/test_policy.py::test_a_server_that_refuses_us_altogether_stops_the_run",
        ),
    ),
    Row(
        "the same permanent refusal for one message after the other, whatever its code: a quota, an unverified sender",
        "the run stops with exit 3; the refused rows go back to the queue, and the history says so",
        (
            "e2e/faults/test_policy.py::test_a_refusal_of_the_sender_costs_no_row",
            "e2e/faults/test_policy.py::test_refusals_of_mailboxes_stop_nobody",
            "unit/delivery/test_refusals.py::test_a_dozen_of_each_documented_refusal",
            "unit/delivery/test_refusals.py::test_a_quota_stops_a_run_to_a_single_domain",
        ),
    ),
    Row(
        "454 throttling, also after the message; 452 4.5.3 or 552 at RCPT",
        "temporary: the run slows down, and nobody is failed for it",
        ("e2e/faults/test_mail_server.py::test_temporary_trouble_passes",),
    ),
    Row(
        "535 or 530, at the start or in the midst of a run",
        "exit 3 after at most two tries; nobody is failed, and no token is left alive",
        (
            "e2e/faults/test_mail_server.py::test_a_login_refused_at_the_start",
            "e2e/faults/test_mail_server.py::test_a_login_refused_mid_run",
            "integration/smtp/test_pool.py::test_a_refused_login_is_not_tried_again",
            "integration/smtp/test_connector.py::test_a_refusal_is_final",
        ),
    ),
    Row(
        "a connection that is refused, leads nowhere or half way; replies that trickle or never end",
        "a deadline for each command, longer and longer pauses, and bounded memory",
        (
            "e2e/faults/test_wire.py::test_a_server_that_is_not_ready_at_first",
            "e2e/faults/test_mail_server.py::test_a_server_that_is_gone_for_a_while",
            "e2e/faults/test_mail_server.py::test_a_server_out_of_reach_ends_a_run_that_may_not_wait",
            "integration/smtp/test_network.py::test_nobody_listens",
            "integration/smtp/test_network.py::test_nobody_answers_at_all",
            "integration/smtp/test_connector.py::test_a_server_that_is_not_ready",
            "integration/smtp/test_connection_life.py::test_a_server_that_stops_reading_is_left",
            "unit/smtp/test_replies.py::test_memory_is_bounded",
        ),
        _DEADLINES,
    ),
    Row(
        "the server allows fewer connections than configured",
        "their number settles at what it allows, with no storm of tries",
        (
            "e2e/faults/test_mail_server.py::test_fewer_connections_than_configured",
            "integration/smtp/test_pool.py::test_a_server_that_allows_fewer_connections",
            "integration/smtp/test_pool.py::test_one_connection_more_is_tried_later",
        ),
    ),
    Row(
        "a rate that is slower than the server's time-out for DATA",
        "a message waits for its turn before its envelope, and takes it at the dot",
        (
            "e2e/cli/test_limits.py::test_a_slow_rate_holds_no_server_inside_data",
            "unit/delivery/test_turnstile.py::test_a_message_passes_a_second_before_its_permit",
        ),
    ),
    Row(
        "the mail server or Clerk does not work from the start",
        "the run says when it gives up, and ends after five minutes with exit 3 and the reason; nobody is failed",
        (
            "e2e/faults/test_clock.py::test_a_service_that_is_down_from_the_start_is_given_up",
            "e2e/faults/test_clock.py::test_a_run_that_waits_for_its_server_does_not_give_up",
            "unit/delivery/test_patience.py::test_a_service_that_never_works_is_given_up_after_five_minutes",
        ),
    ),
    Row(
        "a message that is larger than the server takes",
        "it is failed with both numbers before DATA, and its token revoked",
        (
            "e2e/faults/test_mail_server.py::test_a_message_that_is_too_large",
            "integration/smtp/test_pool.py::test_a_message_over_size_is_refused_before_data",
            "e2e/faults/test_attachments.py::test_a_mail_that_the_server_finds_too_large_is_not_begun",
        ),
    ),
    Row(
        "no 8BITMIME, SMTPUTF8 or PIPELINING, HELO only, or different servers behind one name",
        "all is encoded as the server takes it; an address beyond ASCII is refused with the reason",
        (
            "e2e/faults/test_mail_server.py::test_a_server_that_offers_little",
            "e2e/faults/test_mail_server.py::test_servers_behind_one_name_that_offer_different_things",
            "e2e/faults/test_recipients.py::test_a_row_that_cannot_be_mailed_costs_itself_alone",
            "unit/config/test_address.py::test_a_local_part_beyond_ascii_is_refused_by_its_reason",
        ),
    ),
    Row(
        "a certificate that is self-signed, expired or another host's; STARTTLS missing, refused or tampered with",
        "exit 3: no password is told, no sender named, no token asked for",
        (
            "e2e/faults/test_mail_server.py::test_a_line_that_cannot_be_trusted",
            "integration/smtp/test_connector.py::test_a_certificate_that_cannot_be_trusted",
            "integration/smtp/test_connector.py::test_starttls_is_required",
            "e2e/cli/test_secrets.py::test_a_certificate_that_is_not_trusted_sees_no_login",
        ),
    ),
    Row(
        "the server is gone for minutes and comes back",
        "the run goes on by itself; only who was at the dot is uncertain",
        ("e2e/faults/test_mail_server.py::test_a_server_that_is_gone_for_a_while",),
    ),
    Row(
        "the server takes minutes for its reply to the dot",
        "it is waited for, ten minutes if nothing else is set (RFC 5321 §4.5.3.2.6), so that few rows are uncertain",
        (
            "unit/config/test_settings.py::test_nothing_needs_to_be_set",
            "integration/smtp/test_network.py::test_a_slow_server_is_waited_for",
        ),
        "a wait of minutes is no test; that the set time is kept is seen where it is half a second",
    ),
)
