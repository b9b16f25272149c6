"""List the faults of the CSV."""

from __future__ import annotations

from support.faults.rows import Row

_READ = "e2e/faults/test_recipients.py::test_what_spreadsheets_write_is_read"
_REFUSED = "e2e/faults/test_recipients.py::test_what_cannot_be_read_right_is_refused"

ROWS = (
    Row(
        "UTF-8 with a byte order mark, UTF-16, Latin-1, cp1252",
        "read right, or refused with the line and a hint; no letter is ever guessed",
        (
            _READ,
            _REFUSED,
            "unit/recipients/test_csvfile.py::test_bytes_that_are_no_text_are_named_by_line",
            "unit/recipients/test_csvfile.py::test_other_encodings_are_refused_with_a_hint",
        ),
    ),
    Row(
        "semicolons or tabs, a `sep=` line, the line ends of any system, line ends in quotes",
        "read right, and errors name the physical line",
        (
            _READ,
            "unit/recipients/test_csvfile.py::test_what_was_written_is_read",
            "unit/recipients/test_csvfile.py::test_lines_are_the_physical_ones",
        ),
    ),
    Row(
        "a quote that is never closed",
        "the file is refused with the line on which the quote opens",
        (
            _REFUSED,
            "unit/recipients/test_csvfile.py::test_quotes_that_do_not_match_are_named_by_line",
            "unit/recipients/test_csvfile.py::test_a_wrong_quote_in_a_large_row_refuses_the_file",
        ),
    ),
    Row(
        "headers that are missing, blank or double, or written with blanks and capitals",
        "forgiven where only one thing can be meant, else refused by name",
        (
            _READ,
            _REFUSED,
            "unit/recipients/test_recipients.py::test_a_header_that_cannot_be_trusted_refuses_the_file",
            "unit/recipients/test_recipients.py::test_a_header_is_a_name_for_templates",
        ),
    ),
    Row(
        "rows that are short, long or blank; characters that cannot be seen or turn the text round",
        "the row is skipped with its line and the reason, counted and shown; blank rows are none",
        (
            "e2e/faults/test_recipients.py::test_a_row_that_cannot_be_mailed_costs_itself_alone",
            _READ,
            "unit/recipients/test_recipients.py::test_a_row_that_cannot_be_mailed_says_why",
            "unit/recipients/test_recipients.py::test_blank_rows_are_no_rows",
        ),
    ),
    Row(
        "a cell of 10 MB, rows without end",
        "the row is skipped, and memory stays bounded",
        (
            "e2e/faults/test_recipients.py::test_a_row_that_cannot_be_mailed_costs_itself_alone",
            "e2e/faults/test_recipients.py::test_a_long_csv_is_read_in_little_memory",
            "unit/recipients/test_grouping.py::test_a_key_that_nearly_all_rows_share_is_no_group",
        ),
        "a million rows would take a minute to enlist; thousands show as well that memory does not grow with them",
    ),
    Row(
        "the same user twice, the same address for two users",
        "one mail per key, and the second row is told with the line of the first; two users are both mailed, and told",
        (
            "e2e/faults/test_recipients.py::test_the_same_person_and_the_same_address_twice",
            "unit/sendlog/test_enlisting.py::test_one_mail_per_key",
            "unit/sendlog/test_enlisting.py::test_addresses_of_several_keys_are_told",
        ),
    ),
    Row(
        "the CSV changed between two runs",
        "what changed is told before anything goes out: added rows are enlisted, removed ones stay queued, a new "
        "address counts only where nothing was sent",
        (
            "e2e/faults/test_recipients.py::test_a_csv_that_changed_between_runs",
            "unit/sendlog/test_enlisting.py::test_a_changed_row_applies_only_where_nothing_was_sent",
            "unit/sendlog/test_enlisting.py::test_only_rows_of_the_csv_at_hand_are_sent",
            "e2e/cli/test_bad_input.py::test_what_was_sent_stays_known_when_the_input_breaks",
        ),
    ),
    Row(
        "the CSV is empty, has a header only, or is not there",
        "exit 2 with a sentence",
        (
            _REFUSED,
            "e2e/faults/test_recipients.py::test_a_missing_csv_is_refused",
            "e2e/cli/test_bad_input.py::test_recipients_names_the_csv_that_is_missing",
            "unit/recipients/test_csvfile.py::test_what_is_no_file_is_refused",
        ),
    ),
    Row(
        "the key column was rounded by a spreadsheet, or most rows share one key without `group`",
        "the file is refused with the reason and what to do",
        (
            "e2e/faults/test_recipients.py::test_a_column_that_cannot_be_the_key_is_refused",
            "unit/recipients/test_wrong_key.py::test_a_key_that_a_spreadsheet_rounded_is_refused",
            "unit/recipients/test_wrong_key.py::test_a_key_that_most_rows_share_is_refused",
        ),
    ),
    Row(
        "a title above the header, columns separated by `|`, an invisible character in an address",
        "refused or skipped for that cause, with what to do",
        (
            _REFUSED,
            "unit/recipients/test_wrong_header.py::test_a_title_above_the_header_is_named",
            "unit/recipients/test_wrong_header.py::test_an_unknown_delimiter_is_named",
            "unit/config/test_address.py::test_an_invisible_character_is_named",
        ),
    ),
)
