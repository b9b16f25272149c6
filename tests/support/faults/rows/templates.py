"""List the faults of the templates, and injections by the data of a row."""

from __future__ import annotations

from support.faults.rows import Row

_FOUND_FIRST = "e2e/faults/test_templates.py::test_what_would_break_a_mail_is_found_first"

ROWS = (
    Row(
        "an undefined variable, wrong syntax, a missing file, an error at a row far down",
        "found by `check`, and by `run` before the first token, with the file, its line and the row",
        (
            _FOUND_FIRST,
            "e2e/cli/test_bad_input.py::test_a_wrong_template_is_told_by_file_line_and_row",
            "e2e/cli/test_bad_input.py::test_check_tells_all_problems_at_once",
            "unit/message/test_templates.py::test_faults_that_rendering_finds",
        ),
    ),
    Row(
        "CSS that cannot be inlined for a row",
        "found by `check`; in a run that row is skipped alone, with the file and the row, and its token is revoked",
        (
            "e2e/faults/test_templates.py::test_css_that_cannot_be_inlined_names_the_template_and_the_row",
            "unit/message/html/test_css.py::test_css_that_cannot_be_read_is_an_error",
        ),
    ),
    Row(
        "a row's values make its mail impossible: a subject too long, a bad link, no number, too large a text",
        "that row is skipped with the reason, before the first token; the others are mailed",
        ("e2e/faults/test_templates.py::test_one_rows_values_cost_that_row_alone",),
    ),
    Row(
        "a mistake in a template concerns every row",
        "said once, with the number of rows and the first lines, by `check` and by `run`",
        ("e2e/faults/test_templates.py::test_a_mistake_in_a_template_is_said_once",),
    ),
    Row(
        "a template makes a text of gigabytes, or its loops never end",
        "stopped after at most three rows, with the template's line; nothing is sent",
        (
            "e2e/faults/test_templates.py::test_a_template_bomb_is_named_by_its_line",
            "unit/message/test_work_limit.py::test_a_bomb_is_stopped_at_its_line",
        ),
    ),
    Row(
        "a template names style sheets, imports or images by URL or file",
        "nothing is fetched and nothing opened",
        ("e2e/faults/test_templates.py::test_nothing_that_a_template_names_is_fetched",),
    ),
    Row(
        "a template is edited during a run",
        "it was read once, so nothing changes; the next run says that the templates are others",
        (
            "e2e/faults/test_templates.py::test_a_template_edited_during_a_run",
            "unit/message/test_templates.py::test_after_sealing_nothing_is_read",
            "unit/message/test_message.py::test_the_fingerprint_changes_with_the_campaign",
        ),
    ),
    Row(
        "markup, formulas, header breaks, encoded words or template syntax in the data",
        "text, and nothing else",
        (
            "e2e/faults/test_templates.py::test_data_is_text_and_nothing_else",
            "e2e/faults/test_templates.py::test_data_is_no_formula_in_a_spreadsheet",
            "unit/message/test_message.py::test_the_parsed_message_is_the_one_that_was_meant",
            "unit/message/mime/test_headers.py::test_a_text_comes_back_from_its_header",
            "unit/message/html/test_escaping.py::test_data_in_text_and_values_adds_no_markup",
            "unit/message/test_links.py::test_variables_are_data_wherever_they_stand",
        ),
    ),
    Row(
        "the sign-in link is lost, or altered by folding, cutting, escaping or what stands behind it",
        "found before the first token",
        (
            _FOUND_FIRST,
            "unit/message/test_links.py::test_a_long_token_arrives_byte_for_byte",
            "unit/message/mime/test_bodies.py::test_quoted_printable_is_undone_by_the_standard_library",
            "unit/message/test_message.py::test_a_message_without_its_token_is_a_mistake",
        ),
    ),
    Row(
        "a file to attach is missing, empty by name, a pipe, a folder or too large for a row",
        "that row is skipped with the reason, before a token is asked for it; nothing hangs; `check` lists it; if the "
        "file is for all, nothing begins",
        (
            "e2e/faults/test_attachments.py::test_each_gets_the_own_invoice_and_who_has_none_is_skipped",
            "e2e/faults/test_attachments.py::test_a_file_for_all_that_is_missing_stops_the_run",
            "unit/message/test_attachments.py::test_an_optional_file_may_be_missing",
            "unit/message/test_attached_files.py::test_any_other_file_is_refused",
        ),
    ),
    Row(
        "data or a symbolic link that leads to a file outside the folder, a key, the settings, the CSV or the send log",
        "it is not attached; the row is skipped",
        (
            "unit/message/test_attachments.py::test_data_leads_to_no_other_file",
            "unit/message/test_attached_files.py::test_any_other_file_is_refused",
        ),
        "what may be attached is decided in one place, which has tests of its own",
    ),
    Row(
        "an attached file changes or grows between `check`, the start and the mail",
        "a file for all is read once; another one is read as it is then, and never more of it than allowed",
        (
            "unit/message/test_attachments.py::test_a_shared_file_is_read_once",
            "unit/message/test_attached_files.py::test_a_file_that_grows_is_cut_off",
        ),
        "the instant between two readings cannot be met from outside",
    ),
    Row(
        "MJML with an element that it does not know, or a variable where it computes",
        "found before the first token, with the line in the MJML",
        (
            "unit/message/html/test_mjml.py::test_what_is_wrong_is_told_with_its_line",
            "unit/message/test_mjml_message.py::test_an_error_names_the_line_in_the_mjml",
        ),
        "it fails as any template does that cannot be compiled",
    ),
)
