"""A month of the cart campaign: `carts` makes it up, `site` is the shop, `oracle` works out who must be mailed when."""
