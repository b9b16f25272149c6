"""Faults of the CSV."""

from __future__ import annotations

from faults.rows import Row

_READ = "faults/test_recipients.py::test_what_spreadsheets_write_is_read"
_REFUSED = "faults/test_recipients.py::test_what_cannot_be_read_right_is_refused"

ROWS = (
    Row(
        "UTF-8 with a byte order mark, UTF-16, Latin-1, cp1252",
        "read right, or refused with the line and a hint; no letter is ever guessed",
        (
            _READ,
            _REFUSED,
            "test_csvfile.py::test_bytes_that_are_no_text_are_named_by_line",
            "test_csvfile.py::test_other_encodings_are_refused_with_a_hint",
        ),
    ),
    Row(
        "semicolons or tabs, a `sep=` line, the line ends of any system, line ends in quotes",
        "read right, and errors name the physical line",
        (
            _READ,
            "test_csvfile.py::test_what_was_written_is_read",
            "test_csvfile.py::test_lines_are_the_physical_ones",
        ),
    ),
    Row(
        "a quote that is never closed",
        "the file is refused with the line on which the quote opens",
        (
            _REFUSED,
            "test_csvfile.py::test_quotes_that_do_not_match_are_named_by_line",
            "test_csvfile.py::test_a_wrong_quote_in_a_large_row_refuses_the_file",
        ),
    ),
    Row(
        "headers that are missing, blank or double, or written with blanks and capitals",
        "forgiven where only one thing can be meant, else refused by name",
        (
            _READ,
            _REFUSED,
            "test_recipients.py::test_a_header_that_cannot_be_trusted_refuses_the_file",
            "test_recipients.py::test_a_header_is_a_name_for_templates",
        ),
    ),
    Row(
        "rows that are short, long or blank; characters that cannot be seen or turn the text round",
        "the row is skipped with its line and the reason, counted and shown; blank rows are none",
        (
            "faults/test_recipients.py::test_a_row_that_cannot_be_mailed_costs_itself_alone",
            _READ,
            "test_recipients.py::test_a_row_that_cannot_be_mailed_says_why",
            "test_recipients.py::test_blank_rows_are_no_rows",
        ),
    ),
    Row(
        "a cell of 10 MB, rows without end",
        "the row is skipped, and memory stays bounded",
        (
            "faults/test_recipients.py::test_a_row_that_cannot_be_mailed_costs_itself_alone",
            "faults/test_recipients.py::test_a_long_csv_is_read_in_little_memory",
            "test_grouping.py::test_a_key_that_nearly_all_rows_share_is_no_group",
        ),
        "a million rows would take a minute to enlist; thousands show as well that memory does not grow with them",
    ),
    Row(
        "the same user twice, the same address for two users",
        "one mail per key, and the second row is told with the line of the first; two users are both mailed, and told",
        (
            "faults/test_recipients.py::test_the_same_person_and_the_same_address_twice",
            "test_sendlog_enlisting.py::test_one_mail_per_key",
            "test_sendlog_enlisting.py::test_addresses_of_several_keys_are_told",
        ),
    ),
    Row(
        "the CSV changed between two runs",
        "what changed is told before anything goes out: added rows are enlisted, removed ones stay queued, a new "
        "address counts only where nothing was sent",
        (
            "faults/test_recipients.py::test_a_csv_that_changed_between_runs",
            "test_sendlog_enlisting.py::test_a_changed_row_applies_only_where_nothing_was_sent",
            "test_sendlog_enlisting.py::test_only_rows_of_the_csv_at_hand_are_sent",
            "test_cli_bad_input.py::test_what_was_sent_stays_known_when_the_input_breaks",
        ),
    ),
    Row(
        "the CSV is empty, has a header only, or is not there",
        "exit 2 with a sentence",
        (
            _REFUSED,
            "faults/test_recipients.py::test_a_missing_csv_is_refused",
            "test_cli_bad_input.py::test_recipients_names_the_csv_that_is_missing",
            "test_csvfile.py::test_what_is_no_file_is_refused",
        ),
    ),
)
