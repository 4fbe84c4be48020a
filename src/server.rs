//! Wiring: ring, threads, mailboxes, drain in order; decides nothing. SKELETON.
