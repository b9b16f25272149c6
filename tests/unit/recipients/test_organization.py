"""The organization that a recipient's token opens: one id of Clerk, from a column of the CSV."""

from __future__ import annotations

from typing import Any

import pytest

from campaign.errors import RecipientsError, RowError
from campaign.model import Recipient
from campaign.recipients.organization import organization_of


def person(**variables: Any) -> Recipient:  # noqa: ANN401 - cells and groups
    """Return a recipient with these variables."""
    return Recipient("k", "ada@example.com", "user_ada", {"email": "ada@example.com", **variables}, 2)


@pytest.mark.parametrize("column", ["org_id", "Org ID", "ORG-ID"])
def test_the_column_is_named_by_its_header_or_variable(column: str) -> None:
    """The column is found by its header or by the variable that it became; an empty cell is no organization."""
    assert organization_of(person(org_id="org_2xAcme"), column) == "org_2xAcme"
    assert organization_of(person(Org_Id="org_2xAcme"), column) == "org_2xAcme"
    assert organization_of(person(org_id=""), column) is None


@pytest.mark.parametrize("value", ["acme", "org_", "ORG_1", "org_1-2", "org_1 ", "org_é", "user_1", "org_" + "1" * 61])
def test_what_is_no_id_costs_the_row(value: str) -> None:
    """A name, a slug or a cut id is refused, with what to write instead."""
    with pytest.raises(RowError, match=r"^The org_id .* is not the id of a Clerk organization \(org_…\); write its id"):
        organization_of(person(org_id=value), "org_id")


def test_a_missing_column_is_named() -> None:
    """Without the column the error names it, and the columns that there are."""
    with pytest.raises(RecipientsError, match=r'^the column "org_id" is missing; .* The columns are email, team\.$'):
        organization_of(person(team="a", items=[{"team": "a"}]), "org_id")


def test_a_group_has_one_organization() -> None:
    """Rows that share a key open one organization; if they name two, the group is refused."""
    rows = [{"org_id": "org_1"}, {"org_id": "org_2"}]
    assert organization_of(person(org_id="org_1", items=rows[:1]), "org_id") == "org_1"
    with pytest.raises(RowError, match="different values in org_id"):
        organization_of(person(items=rows), "org_id")
