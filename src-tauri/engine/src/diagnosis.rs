//! From evidence to a named failure.
