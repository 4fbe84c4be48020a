//! The feed side of the program: simulate, replay, tail. SKELETON.
