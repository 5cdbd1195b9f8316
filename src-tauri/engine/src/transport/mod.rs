//! `plan` then `dial`: stage by stage from a profile to a connected byte stream. (Written next.)
