//! Finds or sets up what compiles guests.
