//! End-to-end tests of the `wasmo` command: what a user types, and what comes back.
