"""HTML of an email: escape data (`escaping`), inline CSS (`css`) and make the text part (`text`)."""
