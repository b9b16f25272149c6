"""Faults of the templates, and data that tries to be more than data."""

from __future__ import annotations

from faults.rows import Row

_FOUND_FIRST = "faults/test_templates.py::test_what_would_break_a_mail_is_found_first"

ROWS = (
    Row(
        "an undefined variable, wrong syntax, a missing file, an error at a row far down",
        "found by `check`, and by `run` before the first token, with the file, its line and the row",
        (
            _FOUND_FIRST,
            "test_cli_bad_input.py::test_a_wrong_template_is_told_by_file_line_and_row",
            "test_cli_bad_input.py::test_check_tells_all_problems_at_once",
            "test_templates.py::test_faults_that_rendering_finds",
        ),
    ),
    Row(
        "CSS that cannot be inlined for a row",
        "found by `check`; in a run that row fails alone, with the file and the row, and its token is revoked",
        (
            "faults/test_templates.py::test_css_that_cannot_be_inlined_names_the_template_and_the_row",
            "test_inlining.py::test_css_that_cannot_be_read_is_an_error",
        ),
    ),
    Row(
        "a template names style sheets, imports or images by URL or file",
        "nothing is fetched and nothing opened",
        ("faults/test_templates.py::test_nothing_that_a_template_names_is_fetched",),
    ),
    Row(
        "a template is edited during a run",
        "it was read once, so nothing changes; the next run says that the templates are others",
        (
            "faults/test_templates.py::test_a_template_edited_during_a_run",
            "test_templates.py::test_after_sealing_nothing_is_read",
            "test_message.py::test_the_fingerprint_changes_with_the_campaign",
        ),
    ),
    Row(
        "markup, formulas, header breaks, encoded words or template syntax in the data",
        "text, and nothing else",
        (
            "faults/test_templates.py::test_data_is_text_and_nothing_else",
            "faults/test_templates.py::test_data_is_no_formula_in_a_spreadsheet",
            "test_message.py::test_the_parsed_message_is_the_one_that_was_meant",
            "test_headers.py::test_a_text_comes_back_from_its_header",
            "test_guards.py::test_data_in_text_and_values_adds_no_markup",
            "test_links.py::test_variables_are_data_wherever_they_stand",
        ),
    ),
    Row(
        "the sign-in link is lost, or altered by folding, cutting, escaping or what stands behind it",
        "found before the first token",
        (
            _FOUND_FIRST,
            "test_links.py::test_a_long_token_arrives_byte_for_byte",
            "test_bodies.py::test_quoted_printable_is_undone_by_the_standard_library",
            "test_message.py::test_a_message_without_its_token_is_a_mistake",
        ),
    ),
)
