"""The sandbox: its servers, as the sender and the browser see them."""
