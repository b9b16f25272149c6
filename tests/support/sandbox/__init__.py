"""Support for the tests of the sandbox: clients that act as a sender and as a browser."""
