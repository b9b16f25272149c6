"""Play Clerk's organizations: each id that looks like Clerk's is one, with every user in it, `membership_object`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from campaign.sandbox.fates import fate_of
from campaign.sandbox.identifiers import id_from

if TYPE_CHECKING:
    from campaign.sandbox.users import User

_ID = re.compile(r"org_[A-Za-z0-9]{1,60}")


def is_organization(org_id: str) -> bool:
    """Return whether there is an organization with this id."""
    return _ID.fullmatch(org_id) is not None


def is_member(user: User) -> bool:
    """Return whether a user is a member of the organizations; the fate `+nomember` says no."""
    return not any(fate_of(address.address).nomember for address in user.addresses)


def membership_object(org_id: str, user_id: str, moment: int) -> dict[str, Any]:
    """Return a membership as the Frontend API shows it, with its organization; `moment` is in milliseconds."""
    return {
        "object": "organization_membership",
        "id": id_from("orgmem", f"{org_id} {user_id}"),
        "role": "org:member",
        "role_name": "Member",
        "permissions": [],
        "public_metadata": {},
        "organization": {
            "object": "organization",
            "id": org_id,
            "name": org_id,
            "slug": _slug(org_id),
            "image_url": "",
            "has_image": False,
            "members_count": 1,
            "pending_invitations_count": 0,
            "max_allowed_memberships": 5,
            "admin_delete_enabled": True,
            "public_metadata": {},
            "created_at": moment,
            "updated_at": moment,
        },
        "public_user_data": {"user_id": user_id, "identifier": ""},
        "created_at": moment,
        "updated_at": moment,
    }


def organization_claim(org_id: str) -> dict[str, Any]:
    """Return the claim of a session JWT (version 2) that names the open organization."""
    return {"o": {"id": org_id, "rol": "member", "slg": _slug(org_id)}}


def _slug(org_id: str) -> str:
    return org_id.replace("_", "-").lower()
