//! The executor, natively: commands in, commands out.
