//! The upstream's quota: exact over time, fair between those who wait.
